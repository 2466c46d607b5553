"""JUnit XML: `junit.xml` for CI servers, one test case per promise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base.escaping import escape_line, escape_text
from meshproof.run.failure import Failure
from meshproof.run.figures import list_check_figures
from meshproof.run.record import Outcome, Result, Run

from . import _files, _phrases
from ._at_end import WriterAtEnd

if TYPE_CHECKING:
    import junitparser
    from junitparser.junitparser import FinalResult

#: The files that it writes into the report folder.
FILES = ("junit.xml",)


class Writer(WriterAtEnd):
    """Writes `junit.xml` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "junit.xml"

    def ended(self, run: Run) -> None:
        """Write a suite with a test case per promise, and one per file of the user's rules."""
        import junitparser

        results_by_file: dict[str, list[Result]] = {"": []}
        for result in run.results:
            file = result.rule.file if result.rule and result.is_user_case else ""
            results_by_file.setdefault(file, []).append(result)
        document = junitparser.JUnitXml("meshproof")
        for file, results in results_by_file.items():
            cases = [_build_case(result) for result in results]
            cases += [] if file else _build_unproven_cases(run)
            if cases or len(results_by_file) == 1:
                document.add_testsuite(_build_suite(run, file or "meshproof", cases))
        xml = io.BytesIO()
        document.write(xml, pretty=True)
        _files.write_report(self._path, xml.getvalue().decode())


def _build_suite(run: Run, name: str, cases: list[junitparser.TestCase]) -> junitparser.TestSuite:
    """Return a suite with the properties of the run."""
    import junitparser

    suite = junitparser.TestSuite(escape_line(name))
    suite.timestamp = escape_line(run.started)
    for property_name, value in _list_run_properties(run):
        suite.add_property(property_name, escape_line(value))
    suite.add_testcases(cases)
    suite.time = round(sum(case.time for case in cases), 3)
    return suite


def _list_run_properties(run: Run) -> list[tuple[str, str]]:
    """Return name and value of each property of the run."""
    return [
        ("version", run.version),
        ("mesh", run.mesh),
        ("proven", run.proven),
        ("outcome", run.outcome),
        ("command", run.command),
        *(("stand-in", standin) for standin in run.standins),
        *(("note", note) for note in run.notes),
        *(("not proven", line) for line in run.not_proven),
        *(("unreached", str(remark)) for remark in run.unreached),
    ]


def _build_case(result: Result) -> junitparser.TestCase:
    """Return the test case of one promise. Its name is stable, so that CI can track it."""
    import junitparser

    case = junitparser.TestCase(
        name=escape_line(result.name),
        classname=escape_line(f"meshproof.{result.promise}"),
        time=round(result.seconds, 3),
    )
    if result.rule and result.rule.line:  # what servers that show a case in its file read
        case._elem.set("file", escape_line(result.rule.file))
        case._elem.set("line", str(result.rule.line))
    properties = junitparser.Properties()  # type: ignore[no-untyped-call]  # bare in junitparser
    for check in result.checks:
        for name, value in list_check_figures(check):
            properties.add_property(junitparser.Property(escape_line(name), escape_line(value)))
    if result.rule:
        properties.add_property(junitparser.Property("rule", escape_line(str(result.rule))))
    for warning in result.warnings:
        properties.add_property(junitparser.Property("lint", escape_line(str(warning))))
    if result.served:
        settling = escape_line(_phrases.describe_settling(result.served))
        properties.add_property(junitparser.Property("settled", settling))
    if result.checks or result.rule or result.served or result.warnings:
        case.append(properties)  # type: ignore[no-untyped-call]  # bare in junitparser
    if result.outcome is not Outcome.PASSED:
        case.result = [_build_outcome_element(result)]
    return case


def _build_outcome_element(result: Result) -> FinalResult:
    """Return the failure, error or skip. Inconclusive is a failure: JUnit has no third state."""
    import junitparser

    element_class = {
        Outcome.INTERNAL_ERROR: junitparser.Error,
        Outcome.MESH_NOT_READY: junitparser.Error,
        Outcome.NOT_SUPPORTED: junitparser.Skipped,
        Outcome.SKIPPED: junitparser.Skipped,
    }.get(result.outcome, junitparser.Failure)
    ending = element_class(escape_line(result.summary or result.outcome), result.outcome.value)
    ending.text = escape_text(_phrases.render_failure(result))
    return ending


def _build_unproven_cases(run: Run) -> list[junitparser.TestCase]:
    """Return a failed case for a run that did not pass although no promise failed."""
    green = (Outcome.PASSED, Outcome.NOT_SUPPORTED, Outcome.SKIPPED)
    if run.outcome is Outcome.PASSED or any(result.outcome not in green for result in run.results):
        return []
    title = "the run proves something"
    return [
        _build_case(
            Result("run", title, run.outcome, failure=Failure(_phrases.render_headline(run)))
        )
    ]
