"""`meshproof judge`: judges labels from any log, plans a check, or replays a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from meshproof.base import errors
from meshproof.base.errors import BadRules, UsageError
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, print_line, write
from meshproof.options import command_line, sources
from meshproof.options.kinds import Number
from meshproof.verdict import (
    PROFILES,
    Declared,
    Outcome,
    Settings,
    Verdict,
    judge,
    limits,
    plan,
    replay,
)

if TYPE_CHECKING:
    from meshproof.run.record import Check

DESCRIPTION = (
    "Judges labels, one per line on standard input, in the order in which they were answered: "
    "`meshproof judge --expect v1=50,v2=50 < labels.txt`. An empty line or `-` is an answer that "
    "names no version."
)
#: A weight of --expect.
_WEIGHT = Number("WEIGHT", 0, 1_000_000)
_CODES = {
    Outcome.PASSED: errors.EXIT_PASSED,
    Outcome.FAILED: errors.EXIT_FAILED,
    Outcome.INCONCLUSIVE: errors.EXIT_INCONCLUSIVE,
}

#: A longer line is no label; a line without an end would fill the memory.
_MAX_LABEL_BYTES = 4096
#: Lines are read by as many bytes as are there, at most this many.
_CHUNK = 1 << 18
#: So many lines are kept with their label: enough for every version, and bounded for any input.
_MAX_KNOWN_LINES = 1000
#: What a record raises that was damaged: a field that is missing, or is of another type or size.
_DAMAGED = (
    *(ArithmeticError, AttributeError, KeyError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    command_line.add_options(parser, "judge")
    parser.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="default: text"
    )


def run(options: argparse.Namespace) -> int:
    """Judge the labels on standard input, print the verdict, return the exit code for it.

    With --replay judges those of a report again, with --plan prints how many answers it takes.
    Raises UsageError for unusable options and input, BadRules for a file that is no report.
    """
    sources.fill_in("judge", options)
    if options.replay:
        return _replay_report(Path(options.replay), options.output)
    if not options.expect:
        raise UsageError("judge: --expect is missing, e.g. --expect v1=50,v2=50")
    expect = _parse_expect(options.expect)
    try:
        settings = _build_settings(options).with_expected(expect)
        if options.plan:
            return _print_plan(expect, settings, options.output)
        verdict = judge(read_labels(sys.stdin), expect, settings, keeps_labels=False)
    except ValueError as error:
        raise UsageError(f"judge: {error}") from None
    _print_verdicts([verdict], options.output)
    return _CODES[verdict.outcome]


def _parse_expect(text: str) -> Declared:
    """Parse `v1=50,v2=50` as weights, `v1,v2` as versions that must each answer."""
    parts = [part.strip() for part in text.split(",")]
    if not any("=" in part for part in parts):
        return [_require_name(part, text) for part in parts]
    weights: dict[str, float] = {}
    for part in parts:
        name, _, weight = part.rpartition("=")
        try:
            weights[_require_name(name.strip(), text)] = _WEIGHT.read_text(weight.strip())
        except ValueError:
            raise UsageError(
                f"judge: --expect {text}: expected NAME=WEIGHT, found '{part}'; a WEIGHT is "
                f"{_WEIGHT.expected}"
            ) from None
    if len(weights) < len(parts):
        raise UsageError(f"judge: --expect {text}: a version is named twice")
    return weights


def _require_name(name: str, text: str) -> str:
    """Return `name`. Raises UsageError when it is empty."""
    if not name:
        raise UsageError(f"judge: --expect {text}: a version has no name")
    return name


def _build_settings(options: argparse.Namespace) -> Settings:
    """Return the judge's settings: the profile, changed by the options."""
    settings = replace(
        PROFILES[options.profile].with_run_alpha(options.alpha, 1),
        independence=not options.no_independence,
    )
    if not settings.independence:  # then no order is judged, and its alpha is free for the weights
        settings = replace(settings, alpha=settings.alpha + settings.alpha_independence)
    for name in ("tolerance", "leak", "beta", "look_every", "budget"):
        if (value := getattr(options, name)) is not None:
            label = options.labels[name.replace("_", "-")]
            settings = settings.with_values(label, {name: value})
    return settings


def read_labels(stream: TextIO | None) -> Iterator[str | None]:
    """Yield the labels of the lines of a stream; None where a line names no version.

    Raises UsageError for input that is no text. A closed stream (`<&-`) has no lines.
    """
    binary: BufferedReader | None = getattr(stream, "buffer", None)
    labels, rest = _Labels(), b""
    while binary is not None and (chunk := binary.read1(_CHUNK)):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(labels.__getitem__, lines)
        _require_short(rest)
    if rest:
        yield labels[rest]


class _Labels(dict[bytes, str | None]):
    """The label of each line, read once; None for a line that names no version."""

    def __missing__(self, line: bytes) -> str | None:
        """Read the label of a line. Raises UsageError for one that is no text."""
        _require_short(line)
        try:
            label = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UsageError(f"judge: standard input is no text: {error.reason}") from None
        if "\0" in label:
            raise UsageError("judge: standard input is no text: it has a NUL byte")
        value = None if label in ("", "-") else label
        if len(self) < _MAX_KNOWN_LINES:
            self[line] = value
        return value


def _require_short(line: bytes) -> None:
    """Raise UsageError for a line that is too long for a label."""
    if len(line) > _MAX_LABEL_BYTES:
        raise UsageError(
            f"judge: standard input has a line of more than {_MAX_LABEL_BYTES} bytes: expected "
            "one label in each line"
        )


def _print_plan(expect: Declared, settings: Settings, output: str) -> int:
    """Print how many answers the check needs; return the exit code."""
    check_plan = plan(expect, settings)
    if output == "json":
        scenarios = [vars(scenario) for scenario in check_plan.scenarios]
        print_json(
            {
                "n_max": check_plan.n_max,
                "limit": check_plan.limit,
                "basis": check_plan.basis,
                "scenarios": scenarios,
                "limits": limits.to_json_values(
                    check_plan.kind, check_plan.expected, check_plan.settings
                ),
            }
        )
    else:
        write(f"{check_plan}\n")
    return errors.EXIT_PASSED


def _verdict_to_json(verdict: Verdict) -> dict[str, object]:
    """Return the JSON value of a verdict, without its labels and with its paragraph."""
    fields = verdict.to_dict()
    del fields["labels"]
    return {**fields, "text": verdict.paragraph()}


def _print_verdicts(verdicts: list[Verdict], output: str, names: list[str] | None = None) -> None:
    """Print verdicts as text or JSON, each with its name if there are `names`."""
    if output == "json":
        summaries = [_verdict_to_json(verdict) for verdict in verdicts]
        for name, summary in zip(names or [], summaries, strict=True) if names else ():
            summary["name"] = name
        print_json(summaries if names else summaries[0])
        return
    for index, verdict in enumerate(verdicts):
        prefix = f"{names[index]}: " if names else ""
        print_line(f"{prefix}{verdict}")
        if not names:
            print_line(verdict.paragraph())


def _replay_report(report: Path, output: str) -> int:
    """Judge every stored verdict again from its labels; return the exit code of the worst."""
    path = report / "run.json" if report.is_dir() else report
    try:
        replayed_checks = _replay_checks(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise UsageError(f"judge: --replay {path}: {error.strerror}") from None
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise BadRules(escape_line(f"{path}: not a run record: {reason}")) from None
    if not replayed_checks:
        raise BadRules(f"{path}: holds no verdict")
    names = [name for name, _, _ in replayed_checks]
    _print_verdicts([verdict for _, _, verdict in replayed_checks], output, names)
    outcomes = {check.outcome_for_test for _, check, _ in replayed_checks}
    worst = next(
        outcome
        for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED)
        if outcome in outcomes
    )
    return _CODES[worst]


def _replay_checks(text: str, path: Path) -> list[tuple[str, Check, Verdict]]:
    """Return the name of each check of a record, the check and the verdict that its labels give.

    Raises BadRules where that is another verdict than the recorded one, and one of _DAMAGED for a
    text that is no record.
    """
    from meshproof.run.record import Run

    replayed_checks = []
    for result in Run.from_json(text).results:
        for check in result.checks:
            name = f"{result.name}, {check.name}" if check.name else result.name
            verdict, recorded = replay(check.verdict), check.verdict
            if (verdict.outcome, verdict.n, verdict.reason) != (
                recorded.outcome,
                recorded.n,
                recorded.reason,
            ):
                raise BadRules(f"{path}: {name}: recorded '{recorded}', the labels say '{verdict}'")
            replayed_checks.append((name, check, verdict))
    return replayed_checks
