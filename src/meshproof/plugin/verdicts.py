"""Ends a test by its verdicts: one that is not as the test expects it fails the test.

The test need not assert it: an assert may be forgotten, or switched off (PYTHONOPTIMIZE), and a
test may skip after it has judged.
"""

from __future__ import annotations

import sys
import unittest
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest
from _pytest.outcomes import Skipped, XFailed

from meshproof.base.errors import Inconclusive

if TYPE_CHECKING:
    from meshproof.plugin.evidence import Evidence

#: Exceptions that end a test without a failure.
_HARMLESS_ENDINGS = (Skipped, XFailed, unittest.SkipTest)


class NothingSent(Inconclusive):
    """A test of a case that has read no answer to a request: it shows nothing of the case."""


class UnmetVerdict(AssertionError):
    """A verdict that is not as its test expects it, or a test that judged nothing."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Fail a test that skips in its setup although a verdict there is not as expected.

    One that is run again after its promise was seen broken (pytest-rerunfailures) stays broken.
    """
    evidence = _find_evidence(item)
    if evidence and evidence.broken_by:
        raise evidence.broken_by.with_traceback(None)
    try:
        yield
    except _HARMLESS_ENDINGS:
        _require_expected_verdicts(item)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test with a verdict that is not as expected, or with none although it may judge."""
    try:
        yield
    except _HARMLESS_ENDINGS:
        _require_expected_verdicts(item)
        raise
    except AssertionError as error:
        _note_verdicts(item, error)
        raise
    _require_expected_verdicts(item)
    _require_verdict(item)
    _require_answers(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Fail a test whose fixtures have judged at its end, with a verdict that is not as expected."""
    evidence = _find_evidence(item)
    former_count = len(evidence.checks) if evidence else 0
    yield
    _require_expected_verdicts(item, since=former_count)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has shown its promise broken."""
    report = yield
    if call.excinfo and (evidence := _find_evidence(item)):
        evidence.note_error(call.excinfo.value)
    return report


def _find_evidence(item: pytest.Item) -> Evidence | None:
    """Return the evidence of a test; None in a run that has collected none."""
    module = sys.modules.get("meshproof.plugin.evidence")  # not imported: a run may not use us
    return module.get_evidence(item) if module else None


def _require_expected_verdicts(item: pytest.Item, since: int = 0) -> None:
    """Raise UnmetVerdict if a check of a test is not as expected; `since` skips its first ones."""
    evidence = _find_evidence(item)
    for check in evidence.checks[since:] if evidence else ():
        if not check.is_as_expected:
            name = f"{check.name}: " if check.name else ""
            raise UnmetVerdict(f"{name}{check.verdict.outcome}: {check.statement}")


def _note_verdicts(item: pytest.Item, error: AssertionError) -> None:
    """Add each verdict that is not as expected to an error: pytest shortens what it asserts."""
    evidence = _find_evidence(item)
    for check in evidence.checks if evidence else ():
        if not check.is_as_expected:
            name = f"{check.name}: " if check.name else ""
            error.add_note(f"{name}{check.verdict.paragraph()}")


def _require_verdict(item: pytest.Item) -> None:
    """Raise UnmetVerdict if a test has the judge and gave it nothing to judge."""
    evidence = _find_evidence(item)
    if evidence and evidence.max_checks and not evidence.checks:
        raise UnmetVerdict(
            "judged nothing: the test takes `judge` and ended without a verdict; call it, or take "
            "`judge` from the test's arguments"
        )


def _require_answers(item: pytest.Item) -> None:
    """Raise NothingSent if a test takes a case of the rules and has read no answer to it."""
    evidence = _find_evidence(item)
    if "rule_case" in getattr(item, "fixturenames", ()) and evidence and not evidence.has_answers:
        raise NothingSent(
            "sent nothing: the test takes `rule_case` and has read no answer; send its requests "
            "by `rule_visits`"
        )
