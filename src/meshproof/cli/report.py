"""`meshproof report diff A B`: says what two runs found differently."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from meshproof.base import errors
from meshproof.base.errors import BadRules, pluralize
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, print_line
from meshproof.run.history import PastResult, summarize_run
from meshproof.run.record import Run
from meshproof.verdict.phrases import format_percent

DESCRIPTION = (
    "Compares the promises of two runs: `meshproof report diff last-week/ meshproof-report/`. A "
    "and B are report folders, or their run.json. Ends with 1 where an outcome differs or a "
    "promise is gone or new."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and its arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    diff = actions.add_parser("diff", help="say what two runs found differently")
    diff.add_argument("before", metavar="A", type=Path)
    diff.add_argument("after", metavar="B", type=Path)
    diff.add_argument("-o", "--output", choices=["text", "json"], default="text")


def run(options: argparse.Namespace) -> int:
    """Print the differences; return EXIT_FAILED where there are some. Raises BadRules."""
    before, after = (summarize_run(_read(path)) for path in (options.before, options.after))
    changes = list(_list_changes(before.results, after.results))
    if options.output == "json":
        print_json(changes)
    else:
        for change in changes:
            print_line(_format_change(change))
        total = len({*before.results, *after.results})
        print_line(f"{len(changes)} of {pluralize(total, 'promise')} differ.")
    return errors.EXIT_FAILED if changes else errors.EXIT_PASSED


def _read(path: Path) -> Run:
    """Return the run of a report folder or a run.json. Raises BadRules."""
    file = path / "run.json" if path.is_dir() else path
    try:
        return Run.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadRules(f"{file}: is no report of meshproof: {error}") from None


def _list_changes(
    before: dict[str, PastResult], after: dict[str, PastResult]
) -> Iterator[dict[str, str]]:
    """Yield each promise whose outcome differs, with the shares that it rests on."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old and new and old.outcome is new.outcome:
            continue
        yield {
            "promise": name,
            "before": str(old.outcome) if old else "",
            "after": str(new.outcome) if new else "",
            "shares before": _describe_shares(old),
            "shares after": _describe_shares(new),
        }


def _describe_shares(result: PastResult | None) -> str:
    """Return `v1 50.2 %, v2 49.8 %` of each check with answers of several versions."""
    return "; ".join(
        ", ".join(f"{version} {format_percent(count / check.n)}" for version, count in seen.items())
        for check in (result.checks.values() if result else ())
        if len(seen := {name: count for name, count in check.counts.items() if count}) > 1
    )


def _format_change(change: dict[str, str]) -> str:
    """Return `~ NAME  passed -> failed`, `+` for a new promise, `-` for one that is gone."""
    name, before, after = change["promise"], change["before"], change["after"]
    if not before:
        return escape_line(f"+ {name}  {after}")
    if not after:
        return escape_line(f"- {name}  was {before}")
    shares = " -> ".join(filter(None, (change["shares before"], change["shares after"])))
    return escape_line(f"~ {name}  {before} -> {after}" + (f"  ({shares})" if shares else ""))
