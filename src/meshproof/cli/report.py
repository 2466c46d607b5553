"""`meshproof report diff A B`: says what two runs found differently."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from meshproof.base import errors
from meshproof.base.errors import BadRules, pluralize
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, print_line
from meshproof.run.history import PastResult, summarize_run
from meshproof.run.record import Outcome, Run
from meshproof.verdict.phrases import format_percent

DESCRIPTION = (
    "Compares the promises of two runs: `meshproof report diff last-week/ meshproof-report/`. A "
    "and B are report folders, or their run.json. Ends with 1 where an outcome differs or a "
    "promise is gone or new."
)


@dataclass(frozen=True)
class _Change:
    """A promise whose outcome differs, with the shares that it rests on; "" without the promise."""

    promise: str
    before: Outcome | Literal[""]
    after: Outcome | Literal[""]
    shares_before: str
    shares_after: str

    def __str__(self) -> str:
        """Return `~ NAME  passed -> failed`, `+` for a new promise, `-` for one that is gone."""
        if not self.before:
            return f"+ {self.promise}  {self.after}"
        if not self.after:
            return f"- {self.promise}  was {self.before}"
        shares = " -> ".join(filter(None, (self.shares_before, self.shares_after)))
        text = f"~ {self.promise}  {self.before} -> {self.after}"
        return f"{text}  ({shares})" if shares else text


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
        print_json([_to_json(change) for change in changes])
    else:
        for change in changes:
            print_line(escape_line(str(change)))
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
    before: Mapping[str, PastResult], after: Mapping[str, PastResult]
) -> Iterator[_Change]:
    """Yield each promise whose outcome differs."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old is None or new is None or old.outcome is not new.outcome:
            yield _Change(
                name,
                old.outcome if old else "",
                new.outcome if new else "",
                _describe_shares(old),
                _describe_shares(new),
            )


def _describe_shares(result: PastResult | None) -> str:
    """Return `v1 50.2 %, v2 49.8 %` of each check with answers of several versions."""
    return "; ".join(
        ", ".join(f"{version} {format_percent(count / check.n)}" for version, count in seen.items())
        for check in (result.checks.values() if result else ())
        if len(seen := {name: count for name, count in check.counts.items() if count}) > 1
    )


def _to_json(change: _Change) -> dict[str, str]:
    """Return a change as an object of the JSON output."""
    return {name.replace("_", " "): value for name, value in asdict(change).items()}
