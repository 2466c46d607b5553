"""history.jsonl, what the runs of a promise show, and `meshproof report diff`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.cli import main
from meshproof.reports import history, html, record
from meshproof.run.history import FILE, Trend, describe_course, read_history
from meshproof.run.record import Outcome, Result, Run
from meshproof.verdict.intervals import compute_time_uniform_interval
from tests.reports.conftest import build_check

HALF = {"v1": 50, "v2": 50}


def add_split_run(
    folder: Path, share: float, outcome: Outcome, seed: int, answers: int = 900
) -> None:
    """Add a run whose split gave `share` to v1, judged over a fixed number of answers."""
    draw = random.Random(seed)
    labels = ["v1" if draw.random() < share else "v2" for _ in range(answers)]
    check = build_check("halves", labels, HALF)
    run = Run("0.1.0", "local", "", "meshproof test", f"2026-11-{seed % 28 + 1:02}")
    run.results.append(Result("split half", "", outcome, checks=(check,)))
    history.Writer(folder).ended(run)


def test_each_run_adds_a_line_and_later_runs_keep_it(
    mixed_run: Run, green_run: Run, tmp_path: Path
) -> None:
    history.Writer(tmp_path).ended(mixed_run)
    history.Writer(tmp_path).ended(green_run)
    first, second = map(json.loads, (tmp_path / FILE).read_text().splitlines())
    assert (first["outcome"], first["exit_code"]) == (mixed_run.outcome, mixed_run.exit_code)
    assert second["results"]["v3 only (VirtualService)"]["checks"]["reviews is v3 only"] == {
        "kind": "weights",
        "n": 688,
        "counts": {"v1": 0, "v2": 0, "v3": 688},
        "expected": {"v1": 0.0, "v2": 0.0, "v3": 1.0},
    }


def test_hostile_names_and_broken_lines_do_no_harm(hostile_run: Run, tmp_path: Path) -> None:
    history.Writer(tmp_path).ended(hostile_run)
    with (tmp_path / FILE).open("a") as file:
        file.write('{"started": 1}\nno json\n[]\n')
    history.Writer(tmp_path).ended(hostile_run)
    runs = read_history(tmp_path)
    assert [run.outcome for run in runs] == [Outcome.FAILED, Outcome.FAILED]
    assert list(runs[0].results) == [hostile_run.results[0].name]


def test_a_small_lasting_error_is_a_drift_though_each_run_passes(tmp_path: Path) -> None:
    for seed in range(40):
        add_split_run(tmp_path, 0.55, Outcome.PASSED, seed)
    course = describe_course(read_history(tmp_path), "split half", "local")
    assert course.trend is Trend.DRIFT
    assert "halves: v1 gave 5" in course.drifts[0]
    assert "50 % declared" in course.drifts[0]
    assert describe_course(read_history(tmp_path), "split half", "cluster").outcomes == ()


def test_red_runs_of_a_split_that_is_right_are_a_flake(tmp_path: Path) -> None:
    for seed in range(12):
        outcome = Outcome.FAILED if seed == 5 else Outcome.PASSED
        add_split_run(tmp_path, 0.5, outcome, seed)
    course = describe_course(read_history(tmp_path), "split half", "local")
    assert (course.trend, course.drifts) == (Trend.FLAKE, ())
    assert course.outcomes.index(Outcome.FAILED) == 5


def test_a_changed_declaration_starts_anew(tmp_path: Path) -> None:
    for seed in range(10):
        add_split_run(tmp_path, 0.6, Outcome.FAILED, seed)
    text = (tmp_path / FILE).read_text().replace('"expected":{"v1":0.5', '"expected":{"v1":0.6')
    (tmp_path / FILE).write_text(text.replace('"v2":0.5}', '"v2":0.4}'))
    add_split_run(tmp_path, 0.5, Outcome.PASSED, 99)
    assert describe_course(read_history(tmp_path), "split half", "local").trend is Trend.FLAKE


@pytest.mark.parametrize(
    ("count", "n"), [(0, 0), (0, 50), (50, 50), (450, 1000), (1, 2), (99_999, 200_000)]
)
def test_the_interval_has_the_seen_share_and_the_odds_at_its_ends(count: int, n: int) -> None:
    low, high = compute_time_uniform_interval(count, n, 0.001)
    wider = compute_time_uniform_interval(count, n, 0.0001)
    assert 0 <= wider[0] <= low <= high <= wider[1] <= 1
    assert n == 0 or low <= count / n <= high
    assert (low > 0) is (count > 0)


def test_the_interval_holds_at_every_n_at_once() -> None:
    """Of 300 fair series of 2 000 answers at most 5 % may leave it at any time: 15 are meant.

    That more than 40 do has a chance below 1 in 10^8, and the seed is fixed.
    """
    draw, left = random.Random(11), 0
    for _ in range(300):
        count = 0
        for n in range(1, 2001):
            count += draw.random() < 0.5
            if n % 20 == 0 and not is_inside(count, n):
                left += 1
                break
    assert left <= 40


def is_inside(count: int, n: int) -> bool:
    low, high = compute_time_uniform_interval(count, n, 0.05)
    return low <= 0.5 <= high


def test_the_page_shows_the_runs_of_a_promise(green_run: Run, tmp_path: Path) -> None:
    writers = [module.Writer(tmp_path) for module in (history, html)]
    for _ in range(60):
        history.Writer(tmp_path).ended(green_run)
    for writer in writers:
        writer.ended(green_run)
    page = (tmp_path / "index.html").read_text()
    assert "last 50 runs: <b>steady</b>" in page
    assert page.count('<rect class="run good"') == 2 * 50


@pytest.fixture
def write_report(tmp_path: Path) -> Callable[[str, Run], str]:
    def write(name: str, run: Run) -> str:
        record.Writer(tmp_path / name).ended(run)
        return str(tmp_path / name)

    return write


def test_diff_names_what_differs(
    write_report: Callable[[str, Run], str],
    mixed_run: Run,
    green_run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = Run.from_json(mixed_run.to_json())
    after = Run.from_json(mixed_run.to_json())
    after.results = [
        *(result for result in after.results if result.promise != "productpage"),
        Result("new", "", Outcome.PASSED),
    ]
    after.results[2] = Result("split half", "", Outcome.PASSED, dialect="VirtualService")
    old, new = write_report("old", before), write_report("new", after)
    assert main(["report", "diff", old, new]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("~ split half (VirtualService)  failed -> passed  (v1 ")
    assert lines[1:] == [
        "- productpage  was mesh not ready",
        "+ new  passed",
        "3 of 9 promises differ.",
    ]
    assert main(["report", "diff", old, f"{old}/run.json", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_diff_refuses_what_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text("[]")
    assert main(["report", "diff", str(tmp_path), str(tmp_path)]) == 65
    assert "is no report of meshproof" in capsys.readouterr().err
    assert main(["report", "diff", str(tmp_path / "none"), str(tmp_path)]) == 65
