"""Header match on what is no header."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import PSEUDO_HEADERS

CODE = "MP0309"

#: Names that Envoy takes for a part of the request -> the key that says it.
_PARTS = {":authority": "authority", "host": "authority", ":method": "method", ":scheme": "scheme"}
_PREFIX = "header "


def check(project: Project) -> Iterator[Hit]:
    """Report each match of a VirtualService on a header that is another part of the request."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            yield from _check_route(route)


def _check_route(route: Route) -> Iterator[Hit]:
    for condition in (condition for match in route.matches for condition in match.conditions):
        if not condition.part.startswith(_PREFIX):
            continue
        name = condition.part.removeprefix(_PREFIX)
        if key := _PARTS.get(name):
            message = f"{route.name}: header {name} is the {key} of the request"
            yield Hit(condition.at, message, f"{key}:", Level.INFO)
        elif name in PSEUDO_HEADERS:  # Istio reference, HTTPMatchRequest.headers
            message = f"{route.name}: {name} is no header: no client sends one of that name"
            yield Hit(condition.at, message, f"{name}: beside headers")
