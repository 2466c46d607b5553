"""Match that adds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0301_shadowed_route import shadowed_by
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.match_index import MatchIndex, find_shadowed_matches
from meshproof.lint.model.route import Match, Route, RouteTable, covers, find_contradiction
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0305"


def check(project: Project) -> Iterator[Hit]:
    """Report each match that another one makes idle, where the route is still reached."""
    for table in read_route_tables(project):
        closed: set[str] = set()
        for route in table.routes:
            several = route.protocol not in closed and len(route.matches) > 1
            if several and shadowed_by(project, route) is None:
                yield from _idle(project, table, route)
            if route.is_catch_all and table.is_ordered:
                closed.add(route.protocol)  # what follows is never asked: MP0304


def _idle(project: Project, table: RouteTable, route: Route) -> Iterator[Hit]:
    index = MatchIndex()
    for match in route.matches:
        index.add(route, match)
    numbers = {id(match): number for number, match in enumerate(route.matches)}
    for match in route.matches:
        if find_contradiction(match):
            continue
        _, other = find_shadowed_matches(project).get(id(match), (route, None))
        if other is None:
            other = _sibling(index, match, numbers, table.is_ordered)
        if other is not None:
            yield Hit(
                match.at,
                f"{route.name}: the match in line {other.at.line} takes all that this one takes",
                "drop it, or join both into one match if both must hold",
            )


def _sibling(
    index: MatchIndex, match: Match, numbers: dict[int, int], in_order: bool
) -> Match | None:
    """Return a match of the same route that takes all of one; of two equal ones the first stays."""
    for _, one in index.find_covering(match):
        equal = covers(match, one)
        if (equal and numbers[id(one)] < numbers[id(match)]) or (not equal and in_order):
            return one
    return None
