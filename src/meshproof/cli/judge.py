"""`meshproof judge`: the judge for labels from any log, for plans and for replays of a report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from meshproof.base import errors
from meshproof.base.errors import BadRules, UsageError
from meshproof.verdict import (
    PROFILES,
    Expect,
    Outcome,
    Settings,
    Verdict,
    judge,
    limits,
    plan,
    replay,
    share_alpha,
)

DESCRIPTION = (
    "Judges labels, one per line on standard input, in the order in which they were answered: "
    "`meshproof judge --expect v1=50,v2=50 < labels.txt`. An empty line or `-` is an answer that "
    "names no version."
)
_CODES = {
    Outcome.PASSED: errors.EXIT_PASSED,
    Outcome.FAILED: errors.EXIT_FAILED,
    Outcome.INCONCLUSIVE: errors.EXIT_INCONCLUSIVE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--expect", metavar="SHARES", help="v1=50,v2=50 (weights), or v1,v2,v3 (each is seen)")
    add("--plan", action="store_true", help="say what the check will cost, judge nothing")
    add("--replay", metavar="REPORT", help="judge a report's verdicts again (folder or run.json)")
    add("--profile", choices=sorted(PROFILES), default="gate", help="defaults (default: gate)")
    add("--tolerance", type=float, metavar="SHARE", help="share error that must be caught, 0.10")
    add("--leak", type=float, metavar="SHARE", help="share of a version of weight 0 to be caught")
    add("--alpha", type=float, default=1e-4, help="chance of a false alarm (default 1e-4)")
    add("--beta", type=float, help="chance to miss a fault of the tolerated size (default 1e-3)")
    add("--look-every", type=int, metavar="N", help="answers per look (default 10)")
    add("--budget", type=int, metavar="N", help="most answers to judge")
    add("--no-independence", action="store_true", help="do not judge the order of the answers")
    add("-o", "--output", choices=["text", "json"], default="text", help="default: text")


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code. Raises UsageError for unusable options."""
    if options.replay:
        return _replay(Path(options.replay), options.output)
    if not options.expect:
        raise UsageError("judge: --expect is missing, e.g. --expect v1=50,v2=50")
    expect = _expect(options.expect)
    try:
        settings = _settings(options)
        if options.plan:
            return _plan(expect, settings, options.output)
        verdict = judge(_labels(sys.stdin), expect, settings)
    except ValueError as error:
        raise UsageError(f"judge: {error}") from None
    _show([verdict], options.output)
    return _CODES[verdict.outcome]


def _expect(text: str) -> Expect:
    """Read `v1=50,v2=50` as weights, `v1,v2` as versions of which each must be seen."""
    parts = [part.strip() for part in text.split(",")]
    if not any("=" in part for part in parts):
        return [_name(part, text) for part in parts]
    weights: dict[str, float] = {}
    for part in parts:
        name, _, weight = part.rpartition("=")
        try:
            weights[_name(name.strip(), text)] = float(weight)
        except ValueError:
            raise UsageError(
                f"judge: --expect {text}: expected NAME=WEIGHT, found '{part}'"
            ) from None
    if len(weights) < len(parts):
        raise UsageError(f"judge: --expect {text}: a version is named twice")
    return weights


def _name(name: str, text: str) -> str:
    if not name:
        raise UsageError(f"judge: --expect {text}: a version has no name")
    return name


def _settings(options: argparse.Namespace) -> Settings:
    alpha, independence = share_alpha(options.alpha, 1)
    settings = replace(
        PROFILES[options.profile],
        alpha=alpha,
        alpha_independence=independence,
        independence=not options.no_independence,
    )
    for name in ("tolerance", "leak", "beta", "look_every", "budget"):
        if (value := getattr(options, name)) is not None:
            settings = settings.with_values(f"--{name.replace('_', '-')}", {name: value})
    return settings


def _labels(lines: TextIO) -> Iterator[str | None]:
    """Yield the labels of lines of text; None where a line names no version."""
    try:
        for line in lines:
            label = line.strip()
            yield None if label in ("", "-") else label
    except UnicodeDecodeError as error:
        raise UsageError(f"judge: standard input is no text: {error.reason}") from None


def _plan(expect: Expect, settings: Settings, output: str) -> int:
    found = plan(expect, settings)
    if output == "json":
        scenarios = [vars(scenario) for scenario in found.scenarios]
        text = json.dumps(
            {
                "n_max": found.n_max,
                "limit": found.limit,
                "basis": found.basis,
                "scenarios": scenarios,
                "limits": limits.to_json_values(found.kind, found.expected, found.settings),
            }
        )
    else:
        text = str(found)
    sys.stdout.write(f"{text}\n")
    return errors.EXIT_PASSED


def _summary(verdict: Verdict) -> dict[str, object]:
    """Return what machines want of a verdict; the whole is in the report's run.json."""
    stored = verdict.to_dict()
    del stored["labels"]
    return {**stored, "text": verdict.paragraph()}


def _show(verdicts: list[Verdict], output: str, names: list[str] | None = None) -> None:
    if output == "json":
        found = [_summary(verdict) for verdict in verdicts]
        for name, summary in zip(names or [], found, strict=True) if names else ():
            summary["name"] = name
        sys.stdout.write(json.dumps(found if names else found[0], indent=1) + "\n")
        return
    for index, verdict in enumerate(verdicts):
        lead = f"{names[index]}: " if names else ""
        sys.stdout.write(f"{lead}{verdict}\n")
        if not names:
            sys.stdout.write(f"{verdict.paragraph()}\n")


def _replay(report: Path, output: str) -> int:
    """Judge every stored verdict again from its labels; return the exit code of the worst."""
    from meshproof.run.record import Run

    place = report / "run.json" if report.is_dir() else report
    try:
        record = Run.from_json(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"judge: --replay {place}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadRules(f"{place}: not a run record: {error}") from None
    stored = [(result.name, check) for result in record.results for check in result.checks]
    if not stored:
        raise BadRules(f"{place}: holds no verdict")
    again = [replay(check.verdict) for _, check in stored]
    names = [f"{name}, {check.name}" if check.name else name for name, check in stored]
    for name, (_, check), found in zip(names, stored, again, strict=True):
        if (found.outcome, found.n, found.reason) != (
            check.verdict.outcome,
            check.verdict.n,
            check.verdict.reason,
        ):
            raise BadRules(f"{place}: {name}: recorded '{check.verdict}', the labels say '{found}'")
    _show(again, output, names)
    outcomes = {found.outcome for found in again}
    worst = next(
        one for one in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED) if one in outcomes
    )
    return _CODES[worst]
