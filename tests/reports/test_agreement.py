"""Every view of a run says the same: whether it is green, how each promise ended, the exit code."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.base.place import Place
from meshproof.reports import conformance, history, html, junit, prometheus, record, sarif
from meshproof.reports._gitlab import _build_entry
from meshproof.reports._phrases import render_headline
from meshproof.reports._problems import list_problems
from meshproof.run.failure import Failure
from meshproof.run.history import read_history
from meshproof.run.record import Outcome, Result, Run
from meshproof.run.remark import Remark

RED = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.MESH_NOT_READY, Outcome.INTERNAL_ERROR)
MODULES = (conformance, history, html, junit, prometheus, record, sarif)


def build_result(
    number: int, outcome: Outcome, line: int, features: tuple[str, ...] = ()
) -> Result:
    """Return the result of a promise (line 0), or of a case at a line of the user's rules."""
    failure = Failure(f"failure {number}") if outcome in RED else None
    reason = "" if failure or outcome is Outcome.PASSED else "no reason"
    rule, route = (Place("k8s/shop.yaml", line), "shop") if line else (None, "")
    return Result(
        f"promise {number}",
        "",
        outcome,
        failure=failure,
        reason=reason,
        rule=rule,
        route=route,
        features=features,
    )


@st.composite
def draw_run(draw: st.DrawFn) -> Run:
    """Return a run of any outcomes, that may be interrupted, ended by an error, or unreached."""
    features = st.sampled_from([(), ("http-weights",), ("mtls", "plaintext-probe")])
    end = st.tuples(st.sampled_from(list(Outcome)), st.integers(0, 3), features)
    ends = draw(st.lists(end, max_size=6))
    run = Run("0.1.0", "local", "", "meshproof test", "2026-11-24T10:00:00+00:00")
    run.results = [build_result(number, *end) for number, end in enumerate(ends)]
    run.interrupted = draw(st.booleans())
    run.error = draw(st.sampled_from(["", "", "no space left"]))
    if draw(st.booleans()):
        run.unreached.append(Remark(Place("k8s/shop.yaml", 9), "route 2 is unreached"))
    return run


@settings(max_examples=60, deadline=None)
@given(draw_run())
def test_all_views_agree(run: Run) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in MODULES:
            module.Writer(folder).ended(run)
        stored = json.loads((folder / "run.json").read_text())
        assert (stored["outcome"], stored["exit_code"]) == (run.outcome, run.exit_code)
        is_green = run.exit_code == 0
        assert is_green is (run.outcome is Outcome.PASSED and not run.interrupted)
        assert render_headline(run).startswith("Passed") is is_green
        assert f"<h1>{render_headline(run)}</h1>" in (folder / "index.html").read_text()
        check_junit(run, folder)
        check_metrics(run, folder)
        check_conformance(run, folder)
        problems = list_problems(run)
        has_error = any(problem.level == "error" for problem in problems)
        assert has_error is not is_green
        entries = [_build_entry(problem) for problem in problems]
        assert any(entry["severity"] == "critical" for entry in entries) is not is_green
        findings = json.loads((folder / "results.sarif").read_text())["runs"][0]["results"]
        assert any(finding["level"] == "error" for finding in findings) is not is_green
        (past,) = read_history(folder)
        assert (past.outcome, past.exit_code) == (run.outcome, run.exit_code)
        assert [result.outcome for result in past.results.values()] == [
            result.outcome for result in run.results
        ]


def check_junit(run: Run, folder: Path) -> None:
    root = ET.parse(folder / "junit.xml").getroot()
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    for result in run.results:
        tags = {child.tag for child in cases[result.name]} - {"properties"}
        assert bool(tags & {"failure", "error"}) is (result.outcome in RED), result
        assert (not tags) is (result.outcome is Outcome.PASSED), result
    assert (not [*root.iter("failure"), *root.iter("error")]) is (run.exit_code == 0)


def check_metrics(run: Run, folder: Path) -> None:
    lines = (folder / "metrics.prom").read_text().splitlines()
    assert f'meshproof_run_outcome{{mesh="local",outcome="{run.outcome}"}} 1' in lines
    assert f'meshproof_run_exit_code{{mesh="local"}} {run.exit_code}' in lines
    for result in run.results:
        labels = f'mesh="local",promise="{result.name}",outcome="{result.outcome}"'
        assert f"meshproof_check_outcome{{{labels}}} 1" in lines


def check_conformance(run: Run, folder: Path) -> None:
    report = yaml.safe_load((folder / "conformance.yaml").read_text())
    assert (report["outcome"], report["exitCode"]) == (run.outcome, run.exit_code)
    levels = [
        profile[level]
        for profile in report["profiles"]
        for level in ("core", "extended")
        if level in profile
    ]
    red = [result.name for result in run.results if result.outcome in RED]
    assert sorted(name for level in levels for name in level.get("failedTests", ())) == sorted(red)
    assert any(level["result"] == "failure" for level in levels) is bool(red)
    is_cut_short = run.interrupted or run.error or run.unreached or len(run.results) < run.planned
    for level in levels:
        counts = level["statistics"]
        is_kept = counts["Passed"] > 0 and not counts["Failed"] and not counts["Skipped"]
        assert (level["result"] == "success") is (is_kept and not is_cut_short)
    counted = sum(sum(level["statistics"].values()) for level in levels)
    assert counted + len(report["notSupported"]) == len(run.results)
