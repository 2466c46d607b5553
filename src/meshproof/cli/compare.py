"""`meshproof compare`: the requests that two sets of rules answer differently."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshproof.base import errors
from meshproof.base.errors import UsageError, pluralize
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, write
from meshproof.options import command_line, sources
from meshproof.options.table import RunOptions

if TYPE_CHECKING:
    from meshproof.user_rules.changes import Change, ComparedRequest
    from meshproof.user_rules.sides import Side

DESCRIPTION = (
    "Compares two sets of rules by what they do: the requests that follow from either are answered "
    "by both, and each difference is shown with its smallest request. A side is RULES[@MESH]. "
    "RULES is a file, a folder, REVISION:PATH of this git repository, or "
    "cluster:[CONTEXT/]NAMESPACE; either may be in any dialect. MESH is local (default) or "
    "istiod[:PATH]. Real Envoys of both sides are asked, too: where one answers otherwise than its "
    "rules say, that is said."
)
EPILOG = (
    "It ends with 0 where nothing changes but what --expect-changes names, and with 1 otherwise, "
    "or where a mesh does not do what its rules say."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("before", metavar="BEFORE", help="RULES[@MESH]")
    add("after", metavar="AFTER", help="RULES[@MESH]")
    add("-o", "--output", choices=["text", "json"], default="text", help="default: text")
    add(
        "--expect-changes",
        metavar="FILE",
        help="requests that are meant to change, one in a line as the output has them",
    )
    add(
        "--no-send",
        action="store_true",
        help="compare what the rules say, without asking real Envoys",
    )
    command_line.add_options(parser, "compare")


def run(options: argparse.Namespace) -> int:
    """Print the differences; return the exit code (see EPILOG).

    Raises UsageError for a side that is none, BadRules for rules that cannot be read.
    """
    sources.fill_in("compare", options)
    from meshproof.user_rules import changes, loading, sides

    expected = _read_expected(options.expect_changes)
    reading = loading.read_reading_options(options)
    with contextlib.ExitStack() as stack:
        before, after = (
            stack.enter_context(sides.opened_side(sides.parse_side(text), reading))
            for text in (options.before, options.after)
        )
        requests = changes.compare_requests(before, after)
        differences = changes.group_changes(requests)
        mesh_errors = []
        if not options.no_send:
            mesh_errors = [*_ask(before, requests, options), *_ask(after, requests, options)]
        unexpected, unchanged = changes.split_expected(differences, expected)
        lost = list(changes.list_lost_routes(before, after))
        if options.output == "json":
            print_json(_to_json(requests, differences, lost, mesh_errors, unchanged))
        else:
            lines = _render(before, after, requests, differences, lost, mesh_errors, unchanged)
            write("".join(f"{escape_line(line)}\n" for line in lines))
    return errors.EXIT_FAILED if unexpected or unchanged or mesh_errors else errors.EXIT_PASSED


def _read_expected(path: str | None) -> list[str]:
    """Return the requests that may change. Raises UsageError for a file that cannot be read."""
    from meshproof.user_rules.changes import read_expected_changes

    if path is None:
        return []
    try:
        return read_expected_changes(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--expect-changes {path}: {error}") from None


def _ask(
    side: Side, requests: Sequence[ComparedRequest], options: argparse.Namespace
) -> Iterator[str]:
    """Yield in words each request that the real mesh of a side answers otherwise than its rules."""
    from meshproof.mesh.protocol import Options, open_rule_mesh
    from meshproof.user_rules.asking import ask_mesh, judge_mesh
    from meshproof.verdict import PROFILES

    is_before = side.name.text == options.before
    answers = [(request, request.before if is_before else request.after) for request in requests]
    cases = [answer.case for _, answer in answers if answer.case is not None]
    if not cases:
        return
    splits = sum(case.needs_judge for case in cases)
    # Each side has one half of what may go wrong in a run.
    settings = PROFILES["gate"].with_run_alpha(RunOptions.alpha / 2, max(1, splits))
    judged: set[tuple[str, str]] = set()
    mesh_options = Options(envoy=options.envoy, istiod=side.name.binary or None)
    rules, known_hosts = side.user_rules.rules, side.user_rules.known_hosts
    with open_rule_mesh(side.name.mesh, mesh_options, rules, cases, known_hosts) as mesh:
        for request, answer in answers:
            if answer.case is None or answer.case.dead_ends:
                continue
            # One judgement of a split is enough for its route: the rest shows who may answer.
            if (answer.place, answer.text) in judged:
                sent = ask_mesh(mesh, answer.case, side.user_rules)
            else:
                sent = judge_mesh(mesh, answer.case, side.user_rules, settings)
            judged.add((answer.place, answer.text))
            if sent.differs:
                yield (
                    f"{side.name.text}: {request.text}: the rules say {answer.text}; a real Envoy: "
                    f"{sent.text}"
                )


def _render(
    before: Side,
    after: Side,
    requests: Sequence[ComparedRequest],
    differences: Sequence[Change],
    lost: Sequence[str],
    mesh_errors: Sequence[str],
    unchanged: Sequence[str],
) -> Iterator[str]:
    """Yield the lines of the report."""
    for side in (before, after):
        notes = (*side.user_rules.world_notes, *map(str, side.user_rules.excluded))
        yield from (side.name_places(f"{side.name.text}: {note}") for note in notes)
    for change in differences:
        request = change.smallest
        yield f"~ {request.text}"
        yield f"    {request.before.text}  ({request.before.place or 'no route'})"
        yield f"    -> {request.after.text}  ({request.after.place or 'no route'})"
        if len(change.requests) > 1:
            yield f"    {pluralize(len(change.requests) - 1, 'more request')} in the same way"
    yield from (f"- {line}" for line in lost)
    yield from (f"! {line}" for line in mesh_errors)
    yield from (f"! expected to change, but does not: {text}" for text in unchanged)
    changed = sum(request.is_changed for request in requests)
    yield (
        f"{changed} of {pluralize(len(requests), 'request')} change"
        + (": --expect-changes FILE names those that are meant" if changed else "")
    )


def _to_json(
    requests: Sequence[ComparedRequest],
    differences: Sequence[Change],
    lost: Sequence[str],
    mesh_errors: Sequence[str],
    unchanged: Sequence[str],
) -> dict[str, Any]:
    """Return the report as a JSON value."""
    return {
        "requests": len(requests),
        "changes": [
            {
                "request": change.smallest.text,
                "before": {
                    "answer": change.smallest.before.text,
                    "place": change.smallest.before.place,
                },
                "after": {
                    "answer": change.smallest.after.text,
                    "place": change.smallest.after.place,
                },
                "requests": [request.text for request in change.requests],
            }
            for change in differences
        ],
        "no_longer_reached": list(lost),
        "meshes_that_differ": list(mesh_errors),
        "expected_but_unchanged": list(unchanged),
    }
