"""The evidence that a test collects for its report, and the failure built from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from _pytest.outcomes import Skipped

from meshproof.base.clues import Clue
from meshproof.base.errors import (
    EvidenceError,
    MeshproofError,
    ProxyCrashed,
    describe_internal_error,
)
from meshproof.base.redaction import redact_text
from meshproof.run.failure import BrokenPromise, Failure
from meshproof.run.record import Check, Outcome
from meshproof.verdict import Outcome as Judged
from meshproof.verdict.phrases import describe_expected

if TYPE_CHECKING:
    from meshproof.base.place import Place
    from meshproof.rules.judge_options import Options
    from meshproof.run.remark import Remark
    from meshproof.traffic.failure_analysis import Explanation
    from meshproof.traffic.visits import Visits

_EVIDENCE = pytest.StashKey["Evidence"]()


@dataclass
class Evidence:
    """What a test collects for its report: its rule, its checks and the reason of each verdict.

    `rule`: its place. `route`: which route a case is of. `code`, `warnings`: what lint says of
    the rule, or of the route. `has_match`: the rule holds for some requests only.
    `options`: for each of its rules, the options that it sets for the judge.
    `explanations`: one for each check, None where a check had labels and no visits.
    `max_checks`: how often the test may judge; 0 if it has no judge.
    `samples`: the samples of requests that it may send.
    `broken_by`: the error that has shown its promise broken, which no further run of it undoes.
    """

    dialect: str = ""
    rule: Place | None = None
    route: str = ""
    code: str = ""
    warnings: tuple[Remark, ...] = ()
    has_match: bool = False
    options: list[Options] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    explanations: list[Explanation | None] = field(default_factory=list)
    max_checks: int = 0
    samples: list[Visits] = field(default_factory=list)
    broken_by: BrokenPromise | ProxyCrashed | None = None

    @property
    def has_answers(self) -> bool:
        """Whether the test has had answers to requests that it sent."""
        return any(sample.is_read for sample in self.samples)

    def add(self, check: Check, explanation: Explanation | None = None) -> None:
        """Add a check with the explanation of its verdict."""
        if explanation and explanation.curl:
            check = replace(check, curl=explanation.curl)
        self.checks.append(check)
        self.explanations.append(explanation)

    def note_error(self, error: BaseException) -> None:
        """Note the error of a test that shows its promise broken; any other shows nothing."""
        if isinstance(error, (BrokenPromise, ProxyCrashed)):
            self.broken_by = error

    def since(self, count: int) -> Evidence:
        """Return the evidence without its first `count` checks."""
        return replace(self, checks=self.checks[count:], explanations=self.explanations[count:])


def get_evidence(item: pytest.Item) -> Evidence:
    """Return the evidence of a test; the caller may add to it."""
    return item.stash.setdefault(_EVIDENCE, Evidence())


def read_skip_reason(error: BaseException | None) -> str:
    """Return why a test was skipped or is not supported; empty for any other ending."""
    if not isinstance(error, Skipped):
        return ""
    return str(getattr(error, "reason", error)).strip() or "skipped"


def build_failure(
    outcome: Outcome,
    call: pytest.CallInfo[None],
    evidence: Evidence,
    clues: tuple[Clue, ...],
    diagnosis: str,
) -> Failure | None:
    """Return the failure of a test that ended with an exception; None where nothing failed.

    `clues` are facts from the mesh, `diagnosis` is the folder with its state. A check that is not
    as expected gives what was expected and observed; else the error does.
    """
    if call.excinfo is None or isinstance(call.excinfo.value, Skipped):
        return None
    error = call.excinfo.value
    unmet = [
        (check, explanation)
        for check, explanation in zip(evidence.checks, evidence.explanations, strict=True)
        if not check.is_as_expected
    ]
    if outcome is Outcome.INTERNAL_ERROR:
        failure = _build_error_failure(describe_internal_error(error))
        clues = _describe_trace(call.excinfo)
    elif not unmet or isinstance(error, ProxyCrashed) or _outweighs_verdicts(error, outcome):
        failure = _build_error_failure(_describe_error(call.excinfo), error)
    else:
        failure = _build_check_failure(*min(unmet, key=_is_inconclusive))
    return replace(failure, clues=(*failure.clues, *clues), diagnosis=diagnosis)


def _outweighs_verdicts(error: BaseException, outcome: Outcome) -> bool:
    """Return whether an error of ours says more of the outcome than the verdicts do."""
    return isinstance(error, MeshproofError) and outcome is not Outcome.FAILED


def _is_inconclusive(explained_check: tuple[Check, Explanation | None]) -> bool:
    return explained_check[0].verdict.outcome is Judged.INCONCLUSIVE


def _build_error_failure(message: str, error: BaseException | None = None) -> Failure:
    """Return the failure of an error with `message`, with the fields that the error has."""
    failure = Failure(summary=message.splitlines()[0], cause=message)
    if not isinstance(error, EvidenceError):
        return failure
    failure = replace(failure, expected=error.expected, observed=error.observed, curl=error.curl)
    if not isinstance(error, BrokenPromise):
        return failure
    return replace(failure, root_cause=error.cause, broken_share=error.share)


def _build_check_failure(check: Check, explanation: Explanation | None) -> Failure:
    """Return the failure of a check that is not as the test expects it."""
    verdict = check.verdict
    if check.expects_failure:
        return Failure(
            summary=f"{check.name}: {check.statement}" if check.name else check.statement,
            expected=f"a failure of: {describe_expected(verdict)}",
            observed=verdict.paragraph(),
            curl=check.curl,
        )
    summary = explanation.summary if explanation else verdict.statement
    full_summary = f"{check.name}: {summary}" if check.name else summary
    return Failure(
        summary=full_summary,
        cause="" if summary == verdict.statement else full_summary,
        expected=describe_expected(verdict),
        observed=verdict.paragraph(),
        curl=check.curl,
        clues=explanation.clues if explanation else (),
    )


def _describe_error(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the message of an error; with a traceback where the error is not ours."""
    error = excinfo.value
    if isinstance(error, EvidenceError):
        return error.summary
    if isinstance(error, (MeshproofError, AssertionError)):
        # pytest appends the compared values: the assertion's own message is enough for the user.
        text = str(error).partition("\nassert ")[0].strip()
        text = text or str(error).strip() or type(error).__name__
        return text if isinstance(error, MeshproofError) else redact_text(text)
    return redact_text(f"{excinfo.exconly()}\n{excinfo.getrepr(style='short')}")


def _describe_trace(excinfo: pytest.ExceptionInfo[BaseException]) -> tuple[Clue, ...]:
    """Return the frames that lead to an error, without those of pytest."""
    frames = (
        Clue(f"{entry.path}:{entry.lineno + 1}", f"in {entry.name}")
        for entry in excinfo.traceback
        if str(entry.frame.f_globals.get("__name__")).partition(".")[0] not in ("_pytest", "pluggy")
    )
    return (Clue("", "it was raised by way of"), *frames)
