"""What a test leaves for its report, and the text of a promise that was not kept, in its parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from _pytest.outcomes import Skipped

from meshproof.errors import MeshproofError, describe_internal_error
from meshproof.run import Check, Outcome
from meshproof.verdict.phrases import listed, percent, points, promise

if TYPE_CHECKING:
    from meshproof.clues import Clues
    from meshproof.rule_options import Options
    from meshproof.verdict import Verdict


@dataclass
class Evidence:
    """What a test leaves for its report: its rule (`matching`: only for some requests), its checks.

    `options` are those that each of its rules sets for the judge. `clues` are those of each check,
    None where answers were labels from elsewhere.
    """

    dialect: str = ""
    rule: str = ""
    matching: bool = False
    options: list[Options] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    clues: list[Clues | None] = field(default_factory=list)

    def add(self, check: Check, clues: Clues | None = None) -> None:
        """Note a check and what is known beside its verdict."""
        if clues and clues.curl:
            check = replace(check, curl=clues.curl)
        self.checks.append(check)
        self.clues.append(clues)


def message(
    outcome: Outcome,
    title: str,
    call: pytest.CallInfo[None],
    evidence: Evidence,
    hints: str,
    diagnosis: str,
) -> str:
    """Return the failure text in its five parts: promise, expected, observed, curl, diagnosis.

    That of an error of our own says what it is first, and where it was raised last.
    """
    if call.excinfo is None:
        return ""
    error = call.excinfo.value
    at = next(
        (index for index, check in enumerate(evidence.checks) if not check.verdict.holds), None
    )
    if isinstance(error, Skipped):
        return str(error).strip() or "skipped"
    if outcome is Outcome.INTERNAL_ERROR:
        parts = [describe_internal_error(error)]
        hints = _trace(call.excinfo)
    elif isinstance(error, MeshproofError) or at is None:
        parts = [_describe(call.excinfo)]
    else:
        parts = _judged(evidence.checks[at], clues := evidence.clues[at])
        hints = "\n".join([*(clues.lines if clues else ()), *([hints] if hints else [])])
    rule = f", rule at {evidence.rule}" if evidence.rule else ""
    parts.insert(1, f"promise: {title}{rule}")
    if hints:
        parts.append(f"clues: {hints}")
    if diagnosis:
        parts.append(f"diagnosis: {diagnosis}")
    return "\n".join(parts)


def _describe(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the words of an error; with its place in the code when it is none of ours."""
    error = excinfo.value
    if isinstance(error, (MeshproofError, AssertionError)):
        # pytest adds the values below an assertion's own words: the words are for the user.
        summary = str(error).partition("\nassert ")[0].strip()
        return summary or str(error).strip() or type(error).__name__
    return f"{excinfo.exconly()}\n{excinfo.getrepr(style='short')}"


def _trace(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return where an error was raised, without the many frames of pytest that lead there."""
    lines = [
        f"{entry.path}:{entry.lineno + 1}: in {entry.name}"
        for entry in excinfo.traceback
        if str(entry.frame.f_globals.get("__name__")).partition(".")[0] not in ("_pytest", "pluggy")
    ]
    return "\n".join(["it was raised by way of", *lines])


def _judged(check: Check, clues: Clues | None) -> list[str]:
    """Return what happened, expected, observed and a curl of a check that does not hold."""
    verdict = check.verdict
    first = clues.summary if clues else str(verdict)
    parts = [
        f"{check.name}: {first}" if check.name else first,
        f"expected: {_expected(verdict)}",
        f"observed: {verdict.paragraph()}",
    ]
    return [*parts, f"see it: {check.curl}"] if check.curl else parts


def _expected(verdict: Verdict) -> str:
    """Return what was promised with the error that must be caught: `only v3 (leak below 1 %)`."""
    shares, settings = verdict.expected.values(), verdict.settings
    if verdict.kind == "presence":
        return f"each of {listed(list(verdict.expected))} is seen, nothing else"
    bounds = []
    if any(0 < share < 1 for share in shares):
        bounds.append(f"within {points(settings.tolerance)}")
    if any(share in (0, 1) for share in shares):
        bounds.append(f"leak below {percent(settings.leak)}")
    return f"{promise(verdict.kind, verdict.expected)} ({', '.join(bounds)})"
