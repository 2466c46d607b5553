import random
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from meshproof.base.place import Place
from meshproof.reports import html
from meshproof.run.failure import Failure
from meshproof.run.record import Outcome, Result, Run
from meshproof.run.remark import Remark
from meshproof.verdict.phrases import format_percent


class Page(HTMLParser):
    """The tags and the text of a page; every tag that opens must close."""

    VOID = ("meta", "rect", "line", "circle", "path", "input")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def write_page(run: Run, folder: Path) -> Page:
    html.Writer(folder).ended(run)
    return Page((folder / "index.html").read_text("utf-8"))


def test_the_verdict_comes_first_and_every_check_is_there(mixed_run: Run, tmp_path: Path) -> None:
    page = write_page(mixed_run, tmp_path)
    assert page.text.index("2 of 7 promises are broken") < page.text.index("v3 only")
    for text in (mixed_run.proven, mixed_run.command, mixed_run.standins[0], "1 not supported"):
        assert text in page.text
    assert page.count("details") == len(mixed_run.results)
    for result in mixed_run.results:
        for check in result.checks:
            assert check.verdict.paragraph() in page.text
            assert check.curl in page.text


def test_it_says_how_the_mesh_settled(green_run: Run, tmp_path: Path) -> None:
    settling = "11 proxies took version 3f2a19c8 in 0.21 s; 0 requests before that, none counted"
    assert write_page(green_run, tmp_path).text.count(f"Settled first: {settling}") == 1


def test_the_time_of_each_phase_is_a_bar(green_run: Run, tmp_path: Path) -> None:
    phases = {"start": 5.0, "requests": 14.0, "removal": 1.0}
    page = write_page(replace(green_run, phases=phases), tmp_path)
    meters = [attributes for name, attributes in page.tags if name == "meter"]
    assert [(one["aria-label"], one["value"], one["max"]) for one in meters] == [
        ("start", "5.0", "20.0"),
        ("requests", "14.0", "20.0"),
        ("removal", "1.0", "20.0"),
    ]


def test_a_bar_shows_promise_tolerance_and_interval(mixed_run: Run, tmp_path: Path) -> None:
    check = mixed_run.results[2].checks[0]
    first, second = html._build_share_rows(check)
    assert (first.promised, first.count, first.band) == (0.5, 595, (0.4, 0.6))
    assert first.low < first.observed < first.high
    assert first.wrong
    assert first.to_pixels(0.5) + second.to_pixels(0.5) == html.TRACK
    labels = [attrs.get("aria-label") for tag, attrs in write_page(mixed_run, tmp_path).tags]
    assert f"v1: seen {format_percent(595 / 1010)}, tolerated 40 % to 60 %" in labels


def test_it_needs_nothing_from_elsewhere(mixed_run: Run, tmp_path: Path) -> None:
    page = write_page(mixed_run, tmp_path)
    assert not {"link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "onclick" in attrs]
    assert "url(" not in page.text


def test_a_run_over_nothing_is_not_green(empty_run: Run, tmp_path: Path) -> None:
    page = write_page(empty_run, tmp_path)
    assert "Inconclusive: nothing was checked" in page.text
    assert ("header", {"class": "verdict open"}) in page.tags


def test_names_from_strangers_stay_text(hostile_run: Run, tmp_path: Path) -> None:
    page = write_page(hostile_run, tmp_path)
    assert page.count("script") == 1  # that of the filters
    assert r"<script>alert(1)</script> & \x1b[31m\x00 \ud800" in page.text
    assert "\x1b" not in page.text


def test_a_remark_is_shown_like_any_other_text(empty_run: Run, tmp_path: Path) -> None:
    place = Place("a.yaml", 3)
    remark = Remark(place, "route <script>alert(1)</script> \x1b[31m\x00\u202e", "MP0601")
    run = Run.from_json(empty_run.to_json())
    run.results.append(Result("shop", "", Outcome.PASSED, rule=place, warnings=(remark,)))
    run.unreached.append(remark)
    page = write_page(run, tmp_path)
    shown = r"MP0601 a.yaml:3: route <script>alert(1)</script> \x1b[31m\x00\u202e"
    assert page.text.count(shown) == 2
    assert page.count("script") == 1  # that of the filters
    assert not {"\x1b", "\x00", "\u202e"} & set((tmp_path / "index.html").read_text("utf-8"))


def test_what_is_red_is_open(mixed_run: Run, tmp_path: Path) -> None:
    tags = write_page(mixed_run, tmp_path).tags
    cards = {attrs["id"]: "open" in attrs for tag, attrs in tags if tag == "details"}
    is_open = [name for name, is_open in cards.items() if is_open]
    assert is_open == ["promise-3", "promise-4", "promise-5", "promise-8"]


def test_the_nearest_wrong_splits_stand_in_the_bar(mixed_run: Run, tmp_path: Path) -> None:
    first, _ = html._build_share_rows(mixed_run.results[2].checks[0])
    assert [split.share for split in first.nearest_wrong] == [0.6, 0.4]
    tags = write_page(mixed_run, tmp_path).tags
    assert sum(attrs.get("class") == "nearest" for _, attrs in tags) >= 1


def test_the_strip_shows_the_answers_in_send_order(mixed_run: Run) -> None:
    strip = html._build_strip(mixed_run.results[3].checks[0])  # v1 and v2 in turn
    assert (strip.versions, strip.columns, strip.per_column) == (("v1", "v2"), 30, 1)
    assert strip.areas == ("M0 0V20h30V0z", f"M0 0{'V20h1V0h1' * 15}V0z")
    of_many = html._build_strip(mixed_run.results[2].checks[0])
    assert (of_many.columns, of_many.per_column) == (169, 6)
    assert not html._build_strip(mixed_run.results[0].checks[0]).versions


def test_a_large_run_is_a_small_page(mixed_run: Run, tmp_path: Path) -> None:
    """500 checks of 500 answers each: 3 MB at most, written in 2 s of processor time."""
    labels = random.Random(7).choices(["v1", "v2"], k=250_000)
    check = mixed_run.results[2].checks[0]
    results = []
    for number in range(500):
        part = tuple(labels[500 * number : 500 * number + 500])
        verdict = replace(check.verdict, labels=part, n=500, counts=dict(Counter(part)))
        results.append(
            Result(f"p {number}", "", Outcome.PASSED, checks=(replace(check, verdict=verdict),))
        )
    run = replace(mixed_run, results=results)
    start = time.process_time()
    html.Writer(tmp_path).ended(run)
    seconds = time.process_time() - start
    size = (tmp_path / "index.html").stat().st_size
    assert size <= 3_000_000
    assert seconds <= 6  # 2 s on a machine of its own


@pytest.mark.parametrize(
    ("folder", "address"),
    [("evidence/a b", "./evidence/a%20b"), ("../elsewhere", None), ("/etc", None)],
)
def test_only_a_diagnosis_beside_the_page_is_linked(
    empty_run: Run, tmp_path: Path, folder: str, address: str | None
) -> None:
    run = Run.from_json(empty_run.to_json())
    run.results.append(
        Result("p", "", Outcome.FAILED, failure=Failure("f", diagnosis=str(tmp_path / folder)))
    )
    links = [attrs["href"] for tag, attrs in write_page(run, tmp_path).tags if tag == "a"]
    assert links == ["#promise-1", *([address] if address else [])]
