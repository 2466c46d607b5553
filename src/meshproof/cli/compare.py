"""`meshproof compare`: the requests that two sets of rules answer differently."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshproof.base import errors
from meshproof.base.errors import BadRules, UsageError, pluralize, suggest_nearest
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, write
from meshproof.options import command_line, sources
from meshproof.options.table import RunOptions

if TYPE_CHECKING:
    from meshproof.mesh.echo.case_mesh import CaseMesh
    from meshproof.oracle.case import Case
    from meshproof.user_rules.changes import Answer, Change, ComparedRequest
    from meshproof.user_rules.mesh_differences import MeshDifference, OpenedSide
    from meshproof.user_rules.sides import Side

DESCRIPTION = (
    "Compares two sets of rules by what they do: the requests that follow from either are answered "
    "by both, and each difference is shown with its smallest request. A side is RULES[@MESH]. "
    "RULES is a file, a folder, REVISION:PATH of this git repository, or "
    "cluster:[CONTEXT/]NAMESPACE; either may be in any dialect. MESH is local (default) or "
    "istiod[:PATH|:VERSION]. Real Envoys of both sides are asked, too: where one answers otherwise "
    "than its rules say, that is said. Where the sides have two meshes (istiod:1.28.3 and "
    "istiod:1.29.2), what these answer differently is shown with the config that differs."
)
EPILOG = (
    "It ends with 0 where nothing changes but what --expect-changes names, and with 1 otherwise, "
    "or where a mesh does not do what its rules say. It ends with 3 where nothing changes, but an "
    "object of a side is not checked, or a field that only one side has is not compared, that "
    "--allow-unsupported does not name."
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
        before, after = changes.align_sides(before, after)
        is_pair = not options.no_send and _have_own_meshes(before, after)
        requests = changes.compare_requests(before, after, has_neighbours=is_pair)
        differences = changes.group_changes(requests)
        asked = _Asked()
        if not options.no_send:
            asked = _ask_meshes(before, after, requests, options)
        unexpected, unchanged = changes.split_expected(differences, expected)
        lost = list(changes.list_lost_routes(before, after))
        left_out = list(changes.list_not_compared(before, after))
        not_compared = [entry.line for entry in left_out]
        if options.output == "json":
            print_json(_to_json(requests, differences, lost, asked, unchanged, not_compared))
        else:
            lines = _render(
                before, after, requests, differences, lost, asked, unchanged, not_compared
            )
            write("".join(f"{escape_line(line)}\n" for line in lines))
    if unexpected or unchanged or asked.is_red:
        return errors.EXIT_FAILED
    is_all_compared = all(entry.is_allowed for entry in left_out)
    return errors.EXIT_PASSED if is_all_compared else errors.EXIT_INCONCLUSIVE


def _read_expected(path: str | None) -> list[str]:
    """Return the requests that may change. Raises UsageError for a file that cannot be read."""
    from meshproof.user_rules.changes import read_expected_changes

    if path is None:
        return []
    try:
        return read_expected_changes(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--expect-changes {path}: {_describe_error(error)}") from None


def _describe_error(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


@dataclass(frozen=True)
class _Asked:
    """What asking the meshes gave: where one is not as its rules say, where the two differ."""

    mesh_errors: tuple[str, ...] = ()
    mesh_differences: tuple[MeshDifference, ...] = ()
    is_pair: bool = False

    @property
    def is_red(self) -> bool:
        """Whether a mesh is not as its rules say, or not as the other one."""
        return bool(self.mesh_errors or self.mesh_differences)


def _have_own_meshes(before: Side, after: Side) -> bool:
    """Say whether the sides are served by two meshes that may differ in themselves."""
    names = before.name, after.name
    return names[0].mesh != names[1].mesh or names[0].binary != names[1].binary


def _ask_meshes(
    before: Side, after: Side, requests: Sequence[ComparedRequest], options: argparse.Namespace
) -> _Asked:
    """Send the requests to the real meshes of both sides; hold two meshes against each other.

    What one of two meshes refuses is a difference; a single mesh's refusal is raised.
    """
    from meshproof.user_rules.mesh_differences import OpenedSide, find_mesh_differences

    is_pair = _have_own_meshes(before, after)
    mesh_errors: list[str] = []
    with contextlib.ExitStack() as stack:
        opened_sides = []
        for side, is_before in ((before, True), (after, False)):
            answers = [
                (request, request.before if is_before else request.after) for request in requests
            ]
            cases = [answer.case for _, answer in answers if answer.case is not None]
            if not cases:
                continue
            # Two meshes are compared by what workloads report: the same in both.
            served_cases = _list_cases(requests) if is_pair else cases
            try:
                mesh = stack.enter_context(_opened_mesh(side, served_cases, options))
            except BadRules as error:
                if not is_pair:
                    raise
                mesh_errors.append(f"{side.name.text}: it refuses the rules: {error}")
                continue
            opened_sides.append(OpenedSide(side, mesh))
            mesh_errors += _ask(opened_sides[-1], answers)
            if not is_pair:
                stack.close()
        if not is_pair or len(opened_sides) < 2:
            return _Asked(tuple(mesh_errors))
        mesh_differences = find_mesh_differences(opened_sides[0], opened_sides[1], requests)
    return _Asked(tuple(mesh_errors), tuple(mesh_differences), True)


def _list_cases(requests: Sequence[ComparedRequest]) -> list[Case]:
    """Return the cases of both sides."""
    answers = (answer for request in requests for answer in (request.before, request.after))
    return [answer.case for answer in answers if answer.case is not None]


def _ask(opened: OpenedSide, answers: Sequence[tuple[ComparedRequest, Answer]]) -> Iterator[str]:
    """Yield in words each request that the real mesh of a side answers otherwise than its rules."""
    from meshproof.user_rules.asking import ask_mesh, judge_mesh
    from meshproof.verdict import PROFILES

    side, mesh = opened.side, opened.mesh
    splits = sum(answer.case.needs_judge for _, answer in answers if answer.case is not None)
    # Each side has one half of what may go wrong in a run.
    settings = PROFILES["gate"].with_run_alpha(RunOptions.alpha / 2, max(1, splits))
    judged: set[tuple[str, str]] = set()
    for request, answer in answers:
        if answer.assumed or answer.case is None or answer.case.dead_ends:
            continue
        if mesh.explain_unproven(answer.case):
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


def _opened_mesh(
    side: Side, cases: Sequence[Case], options: argparse.Namespace
) -> contextlib.AbstractContextManager[CaseMesh]:
    """Serve the rules of a side by its mesh to the callers of cases."""
    from meshproof.mesh.protocol import Options, open_rule_mesh

    mesh_options = Options(envoy=options.envoy, istiod=side.name.binary or None)
    rules, known_hosts = side.user_rules.rules, side.user_rules.known_hosts
    return open_rule_mesh(side.name.mesh, mesh_options, rules, cases, known_hosts)


def _render(
    before: Side,
    after: Side,
    requests: Sequence[ComparedRequest],
    differences: Sequence[Change],
    lost: Sequence[str],
    asked: _Asked,
    unchanged: Sequence[str],
    not_compared: Sequence[str],
) -> Iterator[str]:
    """Yield the lines of the report."""
    for side in (before, after):
        notes = side.user_rules.world_notes
        yield from (side.name_places(f"{side.name.text}: {note}") for note in notes)
    yield from (f"not compared: {line}" for line in not_compared)
    yield from render_changes(differences)
    yield from (f"- {line}" for line in lost)
    yield from (f"! {line}" for line in asked.mesh_errors)
    for difference in asked.mesh_differences:
        yield from _render_difference(before, after, difference)
    for text in unchanged:
        hint = suggest_nearest(text, [request.text for request in requests])
        yield f"! expected to change, but does not: {text}{hint}"
    if asked.is_pair:
        differing = sum(len(difference.requests) for difference in asked.mesh_differences)
        yield f"the two meshes differ in {differing} of {pluralize(len(requests), 'request')}"
    changed = sum(request.is_changed for request in requests)
    yield (
        f"{changed} of {pluralize(len(requests), 'request')} change"
        + (": --expect-changes FILE names those that are meant" if changed else "")
    )


def render_changes(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the lines of changes: the smallest request of each, with what both sides do."""
    for change in changes:
        request = change.smallest
        yield f"~ {request.text}"
        before_text, after_text = request.texts
        yield f"    {before_text}  ({request.before.place or 'no route'})"
        yield f"    -> {after_text}  ({request.after.place or 'no route'})"
        if len(change.requests) > 1:
            yield f"    {pluralize(len(change.requests) - 1, 'more request')} in the same way"


def _render_difference(before: Side, after: Side, difference: MeshDifference) -> Iterator[str]:
    """Yield the lines of one difference between two meshes."""
    yield f"! the meshes differ: {difference.smallest.text}"
    yield f"    {before.name.text}: {difference.before}"
    yield f"    {after.name.text}: {difference.after}"
    yield from (f"    config: {place}" for place in difference.config)
    if len(difference.requests) > 1:
        yield f"    {pluralize(len(difference.requests) - 1, 'more request')} in the same way"


def _to_json(
    requests: Sequence[ComparedRequest],
    differences: Sequence[Change],
    lost: Sequence[str],
    asked: _Asked,
    unchanged: Sequence[str],
    not_compared: Sequence[str],
) -> dict[str, Any]:
    """Return the report as a JSON value."""
    return {
        "requests": len(requests),
        "changes": [
            {
                "request": change.smallest.text,
                "before": {
                    "answer": change.smallest.texts[0],
                    "place": change.smallest.before.place,
                },
                "after": {
                    "answer": change.smallest.texts[1],
                    "place": change.smallest.after.place,
                },
                "requests": [request.text for request in change.requests],
            }
            for change in differences
        ],
        "no_longer_reached": list(lost),
        "meshes_that_differ": list(asked.mesh_errors),
        "differences_of_meshes": [
            {
                "request": difference.smallest.text,
                "before": difference.before,
                "after": difference.after,
                "config": list(difference.config),
                "requests": [request.text for request in difference.requests],
            }
            for difference in asked.mesh_differences
        ],
        "expected_but_unchanged": list(unchanged),
        "not_compared": list(not_compared),
    }
