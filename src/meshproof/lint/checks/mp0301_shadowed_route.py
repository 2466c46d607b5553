"""Route that is shadowed.

An earlier route takes every request that this one takes, so this one is never asked. Routes are
asked in their order (RouteRules: of precedence), and the first whose match holds decides. Paths,
regexes with a fixed beginning, headers, methods, source labels and the rest are compared.

In an HTTPRoute the closest match wins, whatever the order; there, only a rule with the very same
match as an earlier one is shadowed.

Why: the requests that the route was written for go elsewhere, and nothing says so: the rule is
valid, and every answer is 200.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /api
        route:
        - destination:
            host: reviews
      - match:
        - uri:
            prefix: /api/v2
        route:
        - destination:
            host: reviews-new
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /api/v2
        route:
        - destination:
            host: reviews-new
      - match:
        - uri:
            prefix: /api
        route:
        - destination:
            host: reviews
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.match_index import MatchIndex, find_shadowed_matches
from meshproof.lint.model.route import Route, RouteTable, covers, find_contradiction, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0301"
LEVEL = Level.WARNING


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
