"""Route that takes everything before others."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0304"


def check(project: Project) -> Iterator[Hit]:
    """Report the first route that takes everything where others follow."""
    for table in read_route_tables(project):
        for protocol in ("http", "tls", "tcp"):
            routes = table.routes_of(protocol)
            first = next((route for route in routes if route.is_catch_all), None)
            if first is None or not table.is_ordered:
                continue
            after = [route for route in routes[routes.index(first) + 1 :] if first.precedes(route)]
            if after:
                yield _hit(first, after, table.dialect == "RouteRule")


def _hit(first: Route, after: list[Route], by_precedence: bool) -> Hit:
    match = next(one for one in first.matches if one.is_fully_read and not one.conditions)
    one_file = {route.value.at.file for route in after} == {first.value.at.file}
    places = [str(route.value.at.line if one_file else route.value.at) for route in after]
    where = ("line " if len(after) == 1 else "lines ") if one_file else ""
    where += ", ".join(places[:5]) + (", ..." if len(after) > 5 else "")
    names = f"{after[0].name} ({where}) is"
    if len(after) > 1:
        names = f"the {len(after)} routes after it ({where}) are"
    lowest = min(route.precedence for route in after)
    repair = f"a precedence below {lowest}" if by_precedence else "move it to the end"
    return Hit(match.at, f"{first.name} takes every request: {names} never reached", repair)
