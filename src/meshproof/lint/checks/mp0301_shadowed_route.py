"""Route that is shadowed."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.match_index import MatchIndex, find_shadowed_matches
from meshproof.lint.model.route import Route, RouteTable, covers, find_contradiction, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0301"


def check(project: Project) -> Iterator[Hit]:
    """Report each route of which earlier routes take every request."""
    for table in read_route_tables(project):
        for route, twin in _find_twins(table).items() if not table.is_ordered else ():
            yield _build_hit(table, route, twin)
        for route in table.routes if table.is_ordered else ():
            shadow = find_shadowing_route(project, route)
            if shadow is not None:
                yield _build_hit(table, route, shadow)


def find_shadowing_route(project: Project, route: Route) -> Route | None:
    """Return the last of the earlier routes that take all of a route together, or None."""
    shadowed_matches, shadowing_routes = find_shadowed_matches(project), list[Route]()
    for match in route.matches:
        if id(match) in shadowed_matches:
            shadowing_routes.append(shadowed_matches[id(match)][0])
        elif not find_contradiction(match):
            return None
    return max(shadowing_routes, key=lambda shadow: shadow.value.at, default=None)


def _find_twins(table: RouteTable) -> dict[Route, Route]:
    """Return each rule of an HTTPRoute whose matches an earlier rule has, too, with that rule."""
    index, twins = MatchIndex(), dict[Route, Route]()
    for route in table.routes:
        routes_by_match = [
            {
                id(earlier_route): earlier_route
                for earlier_route, earlier_match in index.find_covering(match)
                if covers(match, earlier_match)
            }
            for match in route.matches
        ]
        shared = [
            earlier_route
            for route_id, earlier_route in (routes_by_match[0] if routes_by_match else {}).items()
            if all(route_id in routes_by_id for routes_by_id in routes_by_match)
        ]
        if shared:
            twins[route] = min(shared, key=lambda twin: twin.value.at)
        for match in route.matches:
            index.add(route, match)
    return twins


def _build_hit(table: RouteTable, route: Route, shadow: Route) -> Hit:
    if not table.is_ordered:
        message, repair = "has the same match", "one rule for both, or another match"
    else:
        message = "takes every request that this one takes"
        repair = f"move this route before line {shadow.value.at.line}, or narrow that one"
    if table.dialect == "RouteRule":
        repair = f"a precedence above {shadow.precedence}"
    location = format_place(shadow.value.at, route.value.at)
    message = f"{route.name} is never reached: {shadow.name} ({location}) {message}"
    return Hit(route.value.at, message, repair)
