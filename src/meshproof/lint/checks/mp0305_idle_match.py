"""Match that adds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0301_shadowed_route import find_shadowing_route
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.match_index import MatchIndex, find_shadowed_matches
from meshproof.lint.model.route import (
    Match,
    Route,
    RouteTable,
    covers,
    find_contradiction,
    is_catch_all,
)
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0305"


def check(project: Project) -> Iterator[Hit]:
    """Report each match that another one makes idle, where the route is still reached."""
    for table in read_route_tables(project):
        closed_protocols: set[str] = set()
        for route in table.routes:
            is_reached = route.protocol not in closed_protocols
            has_several = len(route.matches) > 1
            if is_reached and has_several and find_shadowing_route(project, route) is None:
                yield from _find_idle_matches(project, table, route)
            if is_catch_all(route) and table.is_ordered:
                closed_protocols.add(route.protocol)  # later routes are never reached: MP0304


def _find_idle_matches(project: Project, table: RouteTable, route: Route) -> Iterator[Hit]:
    index = MatchIndex()
    for match in route.matches:
        index.add(route, match)
    numbers = {id(match): number for number, match in enumerate(route.matches)}
    for match in route.matches:
        if find_contradiction(match):
            continue
        _, covering_match = find_shadowed_matches(project).get(id(match), (route, None))
        if covering_match is None:
            covering_match = _find_covering_sibling(index, match, numbers, table.is_ordered)
        if covering_match is not None:
            yield Hit(
                match.at,
                f"{route.name}: the match in line {covering_match.at.line} takes all that this one "
                "takes",
                "drop it, or join both into one match if both must hold",
            )


def _find_covering_sibling(
    index: MatchIndex, match: Match, numbers: dict[int, int], is_ordered: bool
) -> Match | None:
    """Return a match of the same route that takes all of `match`; of equals, an earlier one."""
    for _, sibling in index.find_covering(match):
        is_equal = covers(match, sibling)
        if (is_equal and numbers[id(sibling)] < numbers[id(match)]) or (
            not is_equal and is_ordered
        ):
            return sibling
    return None
