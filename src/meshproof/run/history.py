"""The history of a report folder: a line for each run, and what the runs of a promise have shown.

A file of JSON lines, `history.jsonl`: it stays where a later run replaces the reports beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from meshproof.base.files import write_atomically
from meshproof.run.figures import name_check
from meshproof.run.record import SEVERITY, Outcome, Run
from meshproof.verdict.intervals import compute_time_uniform_interval
from meshproof.verdict.phrases import format_answers, format_percent

#: Its name in the report folder.
FILE = "history.jsonl"
#: Reports show so many runs, the newest; the pooled shares rest on all that the file has.
SHOWN_RUNS = 50
#: The file keeps the newest runs that fit.
_MAX_BYTES = 8 << 20
#: The chance that a promise whose shares are as declared is ever called a drift.
_ALPHA = 1e-4


class Trend(StrEnum):
    """What the runs of a promise show together."""

    STEADY = "steady"  # it was always kept
    FLAKE = "flake"  # outcomes differ, although the shares are as declared
    DRIFT = "drift"  # over all runs a share differs from the declared one
    BROKEN = "broken"  # it never was kept


@dataclass(frozen=True)
class PastCheck:
    """What one check has seen in one run."""

    kind: str
    n: int
    counts: dict[str, int]
    expected: dict[str, float]


@dataclass(frozen=True)
class PastResult:
    """How one promise ended in one run; its checks by name."""

    outcome: Outcome
    checks: dict[str, PastCheck] = field(default_factory=dict)


@dataclass(frozen=True)
class PastRun:
    """One run: when, how it ended, and its promises by name."""

    started: str
    mesh: str
    version: str
    outcome: Outcome
    exit_code: int
    seconds: float
    results: dict[str, PastResult]


@dataclass(frozen=True)
class Course:
    """What the runs of one promise show: outcomes, the newest last, and the drifts."""

    outcomes: tuple[Outcome, ...]
    trend: Trend
    drifts: tuple[str, ...] = ()


def summarize_run(run: Run) -> PastRun:
    """Return what the history keeps of a run; of two results of one name the worse."""
    results: dict[str, PastResult] = {}
    for result in run.results:
        former = results.get(result.name)
        if former and SEVERITY.index(former.outcome) <= SEVERITY.index(result.outcome):
            continue
        checks = {
            name_check(check): PastCheck(
                check.verdict.kind, check.verdict.n, check.verdict.counts, check.verdict.expected
            )
            for check in result.checks
            if not check.expects_failure
        }
        results[result.name] = PastResult(result.outcome, checks)
    return PastRun(
        run.started, run.mesh, run.version, run.outcome, run.exit_code, run.seconds, results
    )


def read_history(folder: Path) -> list[PastRun]:
    """Return the runs of a report folder, the oldest first; a line that is none is left out."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    runs = []
    for line in lines:
        try:
            runs.append(_read_run(line))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return runs


def _read_run(line: str) -> PastRun:
    """Return the run of one line. Raises the errors of a line that is none."""
    values = json.loads(line)
    values["outcome"] = Outcome(values["outcome"])
    values["results"] = {
        name: PastResult(
            Outcome(result["outcome"]),
            {check: PastCheck(**seen) for check, seen in result["checks"].items()},
        )
        for name, result in values["results"].items()
    }
    return PastRun(**values)


def add_run(folder: Path, run: Run) -> None:
    """Add a run to the history of a report folder. Raises OSError where that fails."""
    path = folder / FILE
    former = path.read_bytes() if path.exists() and not path.is_symlink() else b""
    lines = [*former.splitlines(keepends=True), _format_line(summarize_run(run))]
    size = sum(map(len, lines))
    while size > _MAX_BYTES and len(lines) > 1:
        size -= len(lines.pop(0))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, b"".join(lines))


def _format_line(run: PastRun) -> bytes:
    """Return a run as one line of JSON; what is not ASCII is escaped, so it stays one line."""
    return json.dumps(asdict(run), separators=(",", ":")).encode() + b"\n"


def describe_course(runs: Sequence[PastRun], name: str, mesh: str) -> Course:
    """Return what the runs on one kind of mesh show of a promise."""
    results = [run.results[name] for run in runs if run.mesh == mesh and name in run.results]
    outcomes = [result.outcome for result in results]
    drifts = [
        statement
        for check in (results[-1].checks if results else ())
        for statement in _describe_drifts(check, results)
    ]
    if drifts:
        trend = Trend.DRIFT
    elif len(set(outcomes)) > 1:
        trend = Trend.FLAKE
    else:
        trend = Trend.STEADY if Outcome.PASSED in outcomes else Trend.BROKEN
    return Course(tuple(outcomes[-SHOWN_RUNS:]), trend, tuple(drifts))


def _describe_drifts(name: str, results: Sequence[PastResult]) -> list[str]:
    """Return a line for each version whose share over all runs is not the declared one."""
    newest = results[-1].checks[name]
    if newest.kind != "weights":
        return []
    pooled = [
        result.checks[name]
        for result in results
        if name in result.checks and result.checks[name].expected == newest.expected
    ]
    n = sum(check.n for check in pooled)
    statements = []
    for version, declared in newest.expected.items():
        count = sum(check.counts.get(version, 0) for check in pooled)
        alpha = _ALPHA / len(newest.expected)
        low, high = compute_time_uniform_interval(count, n, alpha)
        if not low <= declared <= high:
            statements.append(
                f"{name}: {version} gave {format_percent(count / n)} of {format_answers(n)} in "
                f"{len(pooled)} runs ({format_percent(low)} to {format_percent(high)}), "
                f"{format_percent(declared)} declared"
            )
    return statements
