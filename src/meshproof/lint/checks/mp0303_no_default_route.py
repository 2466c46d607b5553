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
    """Report each rule of sidecars that leaves some requests without a route."""
    hosts_with_default = {
        host.full_name
        for table in read_route_tables(project)
        for host in table.hosts
        if _covers_all_requests(table.routes_of("http"))
    }
    for table in read_route_tables(project):
        routes = table.routes_of("http")
        if table.dialect in ("RouteRule", "GRPCRoute") or not (routes and table.hosts):
            continue
        if table.applies_to_mesh and table.gateways and not _covers_all_requests(routes):
            hosts = {host.full_name for host in table.hosts}
            if table.dialect == "HTTPRoute" and hosts & hosts_with_default:
                continue
            names = ", ".join(host.source_text for host in table.hosts)
            yield Hit(
                routes[-1].value.at,
                f"{routes[-1].name} is the last route and has a match: what no route takes gets "
                f"404 instead of {names}",
                "a route without match at the end",
            )


def _covers_all_requests(routes: list[Route]) -> bool:
    """Say whether the routes take every request of each caller that has the rule.

    A sidecar gets only the routes for its own labels and namespace; without any it has no such
    rule (Istio, route.go, `sourceMatchHTTP`).
    """
    matches = [match for route in routes for match in route.matches]
    callers = {_get_source_conditions(match) for match in matches}
    if frozenset() in callers:
        callers = {frozenset()}
    return all(
        _may_take_all([match for match in matches if _get_source_conditions(match) <= caller])
        for caller in callers
    )


def _get_source_conditions(match: Match) -> frozenset[Condition]:
    return frozenset(
        condition for condition in match.conditions if condition.part.startswith("source ")
    )


def _may_take_all(matches: list[Match]) -> bool:
    """Say whether the matches for one caller may take all its requests together."""
    request_conditions = [
        [condition for condition in match.conditions if _is_about_request(condition)]
        for match in matches
    ]
    single_conditions = {conditions[0] for conditions in request_conditions if len(conditions) == 1}
    return any(
        not match.is_fully_read
        or not conditions
        or all(_has_opposite(single_conditions, condition) for condition in conditions)
        for match, conditions in zip(matches, request_conditions, strict=True)
    )


def _is_about_request(condition: Condition) -> bool:
    """Say whether a condition can differ between two requests of one sidecar."""
    is_about_caller = condition.part == "port" or condition.part.startswith("source ")
    return not is_about_caller and not (condition.part == "gateway" and MESH in condition.values)


def _has_opposite(conditions: set[Condition], condition: Condition) -> bool:
    """Say whether the negation of a condition is among `conditions`."""
    has_candidate = any(
        candidate.part == condition.part and candidate.negated != condition.negated
        for candidate in conditions
    )
    return has_candidate and replace(condition, negated=not condition.negated) in conditions
