"""Redirects of all dialects, followed as a browser follows them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshproof.documents.lookup import read_text
from meshproof.inventory import Inventory
from meshproof.lint.model.conditions import Condition, accepts_value
from meshproof.lint.model.route import Match, Route, RouteTable
from meshproof.rules.written import WrittenRedirect

#: So many redirects are followed.
_MAX_REDIRECTS = 20


@dataclass(frozen=True)
class Request:
    """What a browser requests. Headers and the like are those that the first route matches."""

    scheme: str
    host: str
    path: str


def find_redirect_loop(
    table: RouteTable, first_route: Route, inventory: Inventory
) -> list[tuple[Route, str]]:
    """Return the routes of a redirect loop with the URLs requested, empty if there is none."""
    for first_match in first_route.matches:
        request = _build_first_request(table, first_match)
        if request is None:
            continue
        visited: list[tuple[Route, Request]] = []
        route: Route | None = first_route
        for _ in range(_MAX_REDIRECTS):
            redirect = route.actions.redirect if route is not None else None
            if route is None or redirect is None or redirect.port or redirect.derived_port:
                break  # another port is another place
            visited.append((route, request))
            request = _apply_redirect(request, redirect, route)
            if not _returns_to_table(table, visited[-1][1], request, inventory):
                break
            route = _find_route(table, request, first_match)
            if route is first_route:
                return [
                    (visited_route, _format_url(visited_request))
                    for visited_route, visited_request in [*visited, (first_route, request)]
                ]
            if any(route is visited_route for visited_route, _ in visited):
                break
    return []


def _build_first_request(table: RouteTable, match: Match) -> Request | None:
    """Return a request that a match accepts, None if its path is a regex."""
    path, scheme = "/", "http"
    for condition in match.conditions:
        if condition.negated:
            continue
        if condition.part == "uri":
            if condition.match_type == "regex":
                return None
            path = condition.text or "/"
        elif condition.part == "scheme":
            scheme = condition.text
    host = table.hosts[0].source_text if table.hosts else "*"
    return Request(scheme, host, path)


def _format_url(request: Request) -> str:
    """Return the URL of a request."""
    return f"{request.scheme}://{request.host}{request.path}"


def _apply_redirect(request: Request, redirect: WrittenRedirect, route: Route) -> Request:
    """Return the request that follows a redirect."""
    path = read_text(redirect.path) or request.path
    if redirect.prefix is not None:
        rest = request.path[len(_find_matched_prefix(request, route)) :]
        path = read_text(redirect.prefix) + rest
    scheme, host = read_text(redirect.scheme), read_text(redirect.host)
    return Request(scheme or request.scheme, host or request.host, path or "/")


def _find_matched_prefix(request: Request, route: Route) -> str:
    """Return the part of the path that the route's match names."""
    for match in route.matches:
        for condition in match.conditions:
            if (
                condition.part == "uri"
                and condition.match_type != "regex"
                and accepts_value(condition, request.path)
            ):
                return condition.text
    return "/" if request.path.startswith("/") else ""


def _returns_to_table(
    table: RouteTable, before: Request, after: Request, inventory: Inventory
) -> bool:
    """Say whether the redirected request comes to the same route table again."""
    if after.host != before.host and after.host not in {
        reference.source_text for reference in table.hosts
    }:
        return False
    if after.scheme == before.scheme or not table.gateways:
        return True
    if any(reference.section or reference.port for reference in table.gateways):
        return False  # only to some listeners, which may be those of one scheme
    gateways = [inventory.gateways.get(reference.full_name) for reference in table.gateways]
    return any(
        server.tls is not None and server.protocol == "HTTPS"
        for gateway in gateways
        if gateway is not None
        for server in gateway.servers
    )


def _find_route(table: RouteTable, request: Request, first_match: Match) -> Route | None:
    """Return the route for a request: the first, or by Gateway API the most specific."""
    ranked_routes = [
        (_rank_match(match), route)
        for route in table.routes_of("http")
        for match in route.matches
        if _match_accepts(match, request, first_match)
    ]
    if not ranked_routes:
        return None
    return (
        ranked_routes[0][1]
        if table.is_ordered
        else max(ranked_routes, key=lambda ranked: ranked[0])[1]
    )


def _rank_match(match: Match) -> tuple[int, int, int, int, int]:
    """Return how specific a match is, as Gateway API orders matches."""
    paths = [condition for condition in match.conditions if condition.part == "uri"]
    exact = any(condition.match_type == "exact" for condition in paths)
    length = max((len(condition.text) for condition in paths), default=0)
    parts = [condition.part.split(" ")[0] for condition in match.conditions]
    return exact, length, parts.count("method"), parts.count("header"), parts.count("query")


def _match_accepts(match: Match, request: Request, first_match: Match) -> bool:
    """Say whether a match accepts a request that `first_match` accepted before."""
    return all(
        _condition_accepts(condition, request, first_match) for condition in match.conditions
    )


def _condition_accepts(condition: Condition, request: Request, first_match: Match) -> bool:
    """Say whether a condition holds. Headers are those that `first_match` requires."""
    request_parts = {"uri": request.path, "scheme": request.scheme, "authority": request.host}
    if condition.part in request_parts:
        return accepts_value(condition, request_parts[condition.part]) != condition.negated
    first_conditions = [
        first_condition
        for first_condition in first_match.conditions
        if first_condition.part == condition.part
    ]
    if not first_conditions:
        return condition.negated
    return any(
        replace(first_condition, at=condition.at) == condition
        for first_condition in first_conditions
    )
