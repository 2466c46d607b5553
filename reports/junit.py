"""JUnit XML: `junit.xml` for CI servers, one test case per promise, never green without proof."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.run.failure import Failure
from meshproof.run.record import Check, Outcome, Result, Run

from . import _files, _words

if TYPE_CHECKING:
    import junitparser
    from junitparser.junitparser import FinalResult


class Writer:
    """Writes `junit.xml` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "junit.xml"

    def started(self, run: Run) -> None:
        """Write nothing yet."""

    def progress(self, text: str) -> None:
        """Write nothing: progress is no result."""

    def finished(self, result: Result) -> None:
        """Write nothing yet."""

    def ended(self, run: Run) -> None:
        """Write one suite with a test case per promise."""
        import junitparser

        suite = junitparser.TestSuite("meshproof")
        suite.timestamp = _words.clean(run.started)
        for name, value in _facts(run):
            suite.add_property(name, _words.clean(value))
        suite.add_testcases([_case(result) for result in run.results] + _unproven(run))
        suite.time = round(run.seconds, 3)
        document = junitparser.JUnitXml("meshproof")
        document.add_testsuite(suite)
        xml = io.BytesIO()
        document.write(xml, pretty=True)
        _files.write(self._path, xml.getvalue().decode())


def _facts(run: Run) -> list[tuple[str, str]]:
    return [
        ("version", run.version),
        ("mesh", run.mesh),
        ("proven", run.proven),
        ("outcome", run.outcome),
        ("command", run.command),
        *(("stand-in", standin) for standin in run.standins),
        *(("note", note) for note in run.notes),
    ]


def _case(result: Result) -> junitparser.TestCase:
    """Return the test case of one promise, under its own name: CI follows it over the years."""
    import junitparser

    case = junitparser.TestCase(
        name=_words.clean(result.name),
        classname=_words.clean(f"meshproof.{result.promise}"),
        time=round(result.seconds, 3),
    )
    properties = junitparser.Properties()  # type: ignore[no-untyped-call]  # bare in junitparser
    for check in result.checks:
        for name, value in _figures(check):
            label = _words.clean(f"{_words.name(check)}: {name}")
            properties.add_property(junitparser.Property(label, _words.clean(value)))
    if result.rule:
        properties.add_property(junitparser.Property("rule", _words.clean(result.rule)))
    if result.served:
        settled = _words.clean(_words.settled(result.served))
        properties.add_property(junitparser.Property("settled", settled))
    if result.checks or result.rule or result.served:
        case.append(properties)  # type: ignore[no-untyped-call]  # bare in junitparser
    if result.outcome is not Outcome.PASSED:
        case.result = [_ending(result)]
    return case


def _ending(result: Result) -> FinalResult:
    """Map the outcome. Inconclusive is a failure here: JUnit knows no third, green is wrong."""
    import junitparser

    kind = {
        Outcome.INTERNAL_ERROR: junitparser.Error,
        Outcome.MESH_NOT_READY: junitparser.Error,
        Outcome.NOT_SUPPORTED: junitparser.Skipped,
        Outcome.SKIPPED: junitparser.Skipped,
    }.get(result.outcome, junitparser.Failure)
    ending = kind(_words.clean(result.summary or result.outcome), result.outcome.value)
    ending.text = _words.clean(_words.failure(result))
    return ending


def _unproven(run: Run) -> list[junitparser.TestCase]:
    """Return a red case for a run that is not green though no promise of it is red."""
    green = (Outcome.PASSED, Outcome.NOT_SUPPORTED, Outcome.SKIPPED)
    if run.outcome is Outcome.PASSED or any(result.outcome not in green for result in run.results):
        return []
    title = "the run proves something"
    return [_case(Result("run", title, run.outcome, failure=Failure(_words.headline(run))))]


def _figures(check: Check) -> list[tuple[str, str]]:
    """Return what a dashboard may want to plot of one check."""
    verdict = check.verdict
    return [
        ("outcome", verdict.outcome),
        ("code", verdict.code),
        ("n", str(verdict.n)),
        ("counts", _pairs(verdict.counts)),
        ("expected", _pairs(verdict.expected)),
        ("bound", _words.bound(check)),
        ("alpha", _words.alpha(check)),
        ("beta", f"{verdict.settings.beta:.3g}"),
        ("limits", "; ".join(verdict.limits())),
        ("without an answer", str(check.transport_errors)),
    ]


def _pairs(values: Mapping[str, float]) -> str:
    return " ".join(f"{label}={value:.6g}" for label, value in values.items())
