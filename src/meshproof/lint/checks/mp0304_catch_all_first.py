"""Route that takes everything before others."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route, is_catch_all
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0304"


def check(project: Project) -> Iterator[Hit]:
    """Report the first route that takes everything where others follow."""
    for table in read_route_tables(project):
        for protocol in ("http", "tls", "tcp"):
            routes = table.routes_of(protocol)
            first = next((route for route in routes if is_catch_all(route)), None)
            if first is None or not table.is_ordered:
                continue
            later_routes = [
                route for route in routes[routes.index(first) + 1 :] if first.precedes(route)
            ]
            if later_routes:
                yield _build_hit(first, later_routes, table.dialect == "RouteRule")


def _build_hit(first: Route, later_routes: list[Route], has_precedence: bool) -> Hit:
    match = next(
        candidate
        for candidate in first.matches
        if candidate.is_fully_read and not candidate.conditions
    )
    is_one_file = {route.value.at.file for route in later_routes} == {first.value.at.file}
    places = [str(route.value.at.line if is_one_file else route.value.at) for route in later_routes]
    location = ("line " if len(later_routes) == 1 else "lines ") if is_one_file else ""
    location += ", ".join(places[:5]) + (", ..." if len(later_routes) > 5 else "")
    names = f"{later_routes[0].name} ({location}) is"
    if len(later_routes) > 1:
        names = f"the {len(later_routes)} routes after it ({location}) are"
    lowest = min(route.precedence for route in later_routes)
    repair = f"a precedence below {lowest}" if has_precedence else "move it to the end"
    return Hit(match.at, f"{first.name} takes every request: {names} never reached", repair)
