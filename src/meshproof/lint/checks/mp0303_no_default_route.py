"""Rule without a default route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshproof.base.names import MESH
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Match, Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0303"


def check(project: Project) -> Iterator[Hit]:
    """Report each rule of sidecars whose routes leave requests over."""
    ended = {
        host.full_name
        for table in read_route_tables(project)
        for host in table.hosts
        if _ends(table.routes_of("http"))
    }
    for table in read_route_tables(project):
        routes = table.routes_of("http")
        if table.dialect in ("RouteRule", "GRPCRoute") or not (routes and table.hosts):
            continue
        if table.applies_to_mesh and table.gateways and not _ends(routes):
            if table.dialect == "HTTPRoute" and {one.full_name for one in table.hosts} & ended:
                continue
            names = ", ".join(one.source_text for one in table.hosts)
            yield Hit(
                routes[-1].value.at,
                f"{routes[-1].name} is the last route and has a match: what no route takes gets "
                f"404 instead of {names}",
                "a route without match at the end",
            )


def _ends(routes: list[Route]) -> bool:
    """Say whether every caller that has the rule has a route for each request.

    A sidecar has the routes for its own labels and namespace alone; without any it has no such rule
    (Istio, route.go, `sourceMatchHTTP`).
    """
    matches = [match for route in routes for match in route.matches]
    callers = {_source(match) for match in matches}
    if frozenset() in callers:
        callers = {frozenset()}
    return all(_takes_all([match for match in matches if _source(match) <= one]) for one in callers)


def _source(match: Match) -> frozenset[Condition]:
    return frozenset(one for one in match.conditions if one.part.startswith("source "))


def _takes_all(matches: list[Match]) -> bool:
    """Say whether some matches for one caller may take every request of it."""
    asked = [[one for one in match.conditions if _of_request(one)] for match in matches]
    single = {one[0] for one in asked if len(one) == 1}
    return any(
        not match.is_fully_read or not left or all(_opposite_in(single, one) for one in left)
        for match, left in zip(matches, asked, strict=True)
    )


def _of_request(one: Condition) -> bool:
    """Say whether a condition tells the requests of one sidecar apart."""
    of_caller = one.part == "port" or one.part.startswith("source ")
    return not of_caller and not (one.part == "gateway" and MESH in one.values)


def _opposite_in(single: set[Condition], wanted: Condition) -> bool:
    """Say whether a condition stands there negated (or, being negated, stands there plainly)."""
    alike = any(one.part == wanted.part and one.negated != wanted.negated for one in single)
    return alike and replace(wanted, negated=not wanted.negated) in single
