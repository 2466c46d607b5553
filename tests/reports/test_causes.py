"""What breaks several cases is told once: what it is, what it breaks, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.base.place import Place
from meshproof.reports import console, html, junit
from meshproof.run.broken import group_by_cause
from meshproof.run.cause import Cause
from meshproof.run.failure import Failure
from meshproof.run.record import Outcome, Result, Run
from meshproof.run.remark import Remark
from tests.reports.conftest import CURL

SUBSET = Cause(
    "subset v3 of web selects no pod",
    Place("k8s/shop.yaml", 17),
    "wants version=v3; its pods have " + " or ".join(f"version=v{n}" for n in range(40)),
    ("labels that its pods have", "if they are kept elsewhere: --inventory PATH"),
    "MP0504",
)
TYPO = Cause(
    "no Service has the host wbe", Place("k8s/shop.yaml", 30), "", ("host: web",), "MP0507"
)
LONG = "a case whose name goes on and on " * 6


def build_result(name: str, route: str, cause: Cause | None, share: float = 1.0) -> Result:
    failure = Failure(
        "HTTP 503, empty",
        expected="web v3 answers",
        observed="3 of 3 requests: HTTP 503, empty",
        curl=CURL,
        root_cause=cause,
        broken_share=share,
    )
    return Result(name, f"{name} is kept", Outcome.FAILED, failure=failure, route=route)


@pytest.fixture
def run() -> Run:
    passed = Result("canary 3", "canary 3 is kept", Outcome.PASSED, route="canary")
    results = [
        build_result(f"canary 1 {LONG}", "canary", SUBSET, 0.1),
        build_result("canary 2", "canary", SUBSET, 0.1),
        passed,
        build_result(f"beta {LONG}", "beta", SUBSET),
        build_result("rest", "rest", TYPO),
        *(build_result(f"more {n}", f"route {n}", SUBSET) for n in range(9)),
    ]
    return Run("0.1", "local", "", "meshproof test", "now", results=results)


def print_run(run: Run, capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    writer = console.Writer(folder)
    writer.started(run)
    for result in run.results:
        writer.finished(result)
    writer.ended(run)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def test_each_cause_is_one_block_of_at_most_twelve_lines(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = print_run(run, capsys, tmp_path)
    blocks = [block for block in output.split("\n\n") if block.startswith("xx  ")]
    assert [block.partition("  k8s")[0] for block in blocks] == [
        f"xx  {SUBSET.what}",
        f"xx  {TYPO.what}",
    ]
    assert all(len(block.splitlines()) <= 12 for block in blocks)
    words = " ".join(blocks[0].split())
    assert "breaks canary 2 of 3 cases, beta 1 of 1, route 0 1 of 1, route 1 1 of 1 and 7" in words
    assert "shares 10 % of the requests of canary" in words
    assert "e.g. beta a case" in words  # the one that breaks as a whole
    assert "repair labels that its pods have; or, if they are kept elsewhere: --inventory" in words
    assert output.count(CURL) == 2
    assert output.count("  failed  ") == 2  # the first case of each cause
    assert "1. " not in output
    assert output.splitlines()[-1].startswith("Failed: 13 of 14 promises are broken, by 2 causes.")


def test_a_verbose_run_tells_every_case_too(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run.is_verbose = True
    output = print_run(run, capsys, tmp_path)
    assert "13. more 8: failed" in output
    assert output.count("  failed  ") == 13
    assert output.count(CURL) == 2 + 13


def test_a_failure_without_a_cause_is_told_as_before(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run.results.append(build_result("odd", "rest", None))
    output = print_run(run, capsys, tmp_path)
    assert "1. odd: failed" in output
    assert "are broken, by" not in output


def test_the_other_reports_have_the_causes(run: Run, tmp_path: Path) -> None:
    for report in (html, junit):
        report.Writer(tmp_path).ended(run)
    page, xml = ((tmp_path / name).read_text() for name in ("index.html", "junit.xml"))
    assert page.count(f'<span class="name">{SUBSET.what}</span>') == 1
    assert f"because: {TYPO.what} (k8s/shop.yaml:30)" in xml
    assert "repair: host: web" in xml


def test_a_record_keeps_the_causes(run: Run) -> None:
    read_results = Run.from_json(run.to_json()).results
    assert [result.failure for result in read_results] == [result.failure for result in run.results]


LINT = Cause("web has no port 81", Place("k8s/shop.yaml", 38), "Port absent", ("80",), "MP0510")
REMARK = Remark(Place("k8s/shop.yaml", 40), "4 tries do not fit into 1s", "MP0601")
WARNING = "MP0601 k8s/shop.yaml:40: 4 tries do not fit into 1s"


def test_what_only_lint_says_breaks_no_case(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failure = Failure("web has no port 81", root_cause=LINT)
    result = Result(
        "MP0510 VirtualService a/web", "", Outcome.FAILED, failure=failure, code="MP0510"
    )
    run = Run("0", "local", "", "", "", results=[result])
    (group,) = group_by_cause(run)
    assert group.breaks == ""
    output = print_run(run, capsys, tmp_path)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "why Port absent (MP0510)" in lines
    assert not [line for line in lines if line.startswith(("breaks", "e.g."))]


def test_a_warning_stands_beside_the_first_case_of_its_route(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = [
        Result(name, "", Outcome.PASSED, rule=TYPO.place, route="rest", warnings=(REMARK,))
        for name in ("first", "second")
    ]
    run = Run("0", "local", "", "", "", results=results)
    lines = print_run(run, capsys, tmp_path).splitlines()
    position = next(number for number, line in enumerate(lines) if "first" in line)
    assert lines[position + 1].split(maxsplit=1) == ["lint", WARNING]
    assert sum(WARNING in line for line in lines) == 1
    for module, file in ((junit, "junit.xml"), (html, "index.html")):
        module.Writer(tmp_path).ended(run)
        assert (tmp_path / file).read_text().count(WARNING) == 2
    assert Run.from_json(run.to_json()).results == results
