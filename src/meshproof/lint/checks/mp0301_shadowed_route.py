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
        for route, twin in _twins(table).items() if not table.is_ordered else ():
            yield _hit(table, route, twin)
        for route in table.routes if table.is_ordered else ():
            shadow = shadowed_by(project, route)
            if shadow is not None:
                yield _hit(table, route, shadow)


def shadowed_by(project: Project, route: Route) -> Route | None:
    """Return the last of the routes that take all that this one takes, None where some is left."""
    taken, found = find_shadowed_matches(project), list[Route]()
    for match in route.matches:
        if id(match) in taken:
            found.append(taken[id(match)][0])
        elif not find_contradiction(match):
            return None
    return max(found, key=lambda one: one.value.at) if found else None


def _twins(table: RouteTable) -> dict[Route, Route]:
    """Return the rules of an HTTPRoute of which an earlier one has each match."""
    index, found = MatchIndex(), dict[Route, Route]()
    for route in table.routes:
        twins = [
            {id(one): one for one, other in index.find_covering(match) if covers(match, other)}
            for match in route.matches
        ]
        shared = set.intersection(*(set(each) for each in twins)) if twins else set()
        if shared:
            found[route] = min((twins[0][one] for one in shared), key=lambda one: one.value.at)
        for match in route.matches:
            index.add(route, match)
    return found


def _hit(table: RouteTable, route: Route, shadow: Route) -> Hit:
    if not table.is_ordered:
        said, repair = "has the same match", "one rule for both, or another match"
    else:
        said = "takes every request that this one takes"
        repair = f"move this route before line {shadow.value.at.line}, or narrow that one"
    if table.dialect == "RouteRule":
        repair = f"a precedence above {shadow.precedence}"
    where = format_place(shadow.value.at, route.value.at)
    said = f"{route.name} is never reached: {shadow.name} ({where}) {said}"
    return Hit(route.value.at, said, repair)
