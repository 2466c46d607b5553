"""Redirects of all dialects, followed as a browser would."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshproof.documents.manifest import Value
from meshproof.lint.engine.project import find_values, read_spec, read_text
from meshproof.lint.model.conditions import Condition, accepts_value
from meshproof.lint.model.inventory import Inventory
from meshproof.lint.model.route import Match, Route, RouteTable

#: So many redirects are followed.
_MAX_REDIRECTS = 20


@dataclass(frozen=True)
class Redirect:
    """Where a redirect leads: what is empty stays as it was asked. `cut` replaces the prefix only.

    `sure` is False for one that cannot be followed: to another port.
    """

    value: Value
    path: str = ""
    replaces_prefix: bool = False
    host: str = ""
    scheme: str = ""
    is_followable: bool = True


@dataclass(frozen=True)
class Request:
    """What a browser asks for; headers and the rest are those that the first route wants."""

    scheme: str
    host: str
    path: str


def read_redirect(route: Route) -> Redirect | None:
    """Return a route's redirect."""
    for value in find_values(route.value, "redirect"):
        content = value.content if isinstance(value.content, dict) else {}
        cut = "prefixRewrite" in content
        return Redirect(
            value,
            read_text(content.get("prefixRewrite" if cut else "uri")),
            cut,
            read_text(content.get("authority")),
            read_text(content.get("scheme")),
            not {"port", "derivePort"} & set(content),
        )
    for value in find_values(route.value, "filters", "requestRedirect"):
        content = value.content if isinstance(value.content, dict) else {}
        whole = [*find_values(value, "path", "replaceFullPath")]
        cuts = [*find_values(value, "path", "replacePrefixMatch")]
        path = read_text((whole or cuts)[0]) if whole or cuts else ""
        host, scheme = read_text(content.get("hostname")), read_text(content.get("scheme"))
        return Redirect(value, path, bool(cuts), host, scheme, "port" not in content)
    return None


def find_redirect_loop(
    table: RouteTable, first: Route, around: Inventory
) -> list[tuple[Route, str]]:
    """Return the routes of a circle of redirects with the places asked for, empty if it ends."""
    for start in first.matches:
        request = _build_first_request(table, start)
        if request is None:
            continue
        seen: list[tuple[Route, Request]] = []
        route: Route | None = first
        for _ in range(_MAX_REDIRECTS):
            found = read_redirect(route) if route is not None else None
            if route is None or found is None or not found.is_followable:
                break
            seen.append((route, request))
            request = _apply_redirect(request, found, route)
            if not _returns_to_table(table, seen[-1][1], request, around):
                break
            route = _find_route(table, request, start)
            if route is first:
                return [(one, _format_url(asked)) for one, asked in [*seen, (first, request)]]
            if any(route is one for one, _ in seen):
                break
    return []


def _build_first_request(table: RouteTable, match: Match) -> Request | None:
    path, scheme = "/", "http"
    for one in match.conditions:
        if one.negated:
            continue
        if one.part == "uri":
            if one.match_type == "regex":
                return None
            path = one.text or "/"
        elif one.part == "scheme":
            scheme = one.text
    host = table.hosts[0].source_text if table.hosts else "*"
    return Request(scheme, host, path)


def _format_url(request: Request) -> str:
    return f"{request.scheme}://{request.host}{request.path}"


def _apply_redirect(request: Request, found: Redirect, route: Route) -> Request:
    path = found.path or request.path
    if found.replaces_prefix:
        path = found.path + request.path[len(_find_matched_prefix(request, route)) :]
    return Request(found.scheme or request.scheme, found.host or request.host, path or "/")


def _find_matched_prefix(request: Request, route: Route) -> str:
    """Return the part of the path that the route's match names."""
    for match in route.matches:
        for one in match.conditions:
            if one.part == "uri" and one.match_type != "regex" and accepts_value(one, request.path):
                return one.text
    return "/" if request.path.startswith("/") else ""


def _returns_to_table(
    table: RouteTable, before: Request, after: Request, around: Inventory
) -> bool:
    """Say whether the redirected request comes to the same rule again."""
    if after.host != before.host and after.host not in {one.source_text for one in table.hosts}:
        return False
    if after.scheme == before.scheme or not table.gateways:
        return True
    ways = [around.gateways.get(one.full_name) for one in table.gateways]
    return any(
        server.tls is not None and server.protocol == "HTTPS"
        for way in ways
        if way is not None and _is_for_all_listeners(table)
        for server in way.servers
    )


def _is_for_all_listeners(table: RouteTable) -> bool:
    """Say whether the rule is for every listener of its gateway."""
    named = find_values(read_spec(table.document), "parentRefs", "sectionName")
    return not named and not find_values(read_spec(table.document), "parentRefs", "port")


def _find_route(table: RouteTable, request: Request, start: Match) -> Route | None:
    """Return the route that takes a request: the first, or by Gateway API the closest."""
    found = [
        (_rank_match(match), route)
        for route in table.routes_of("http")
        for match in route.matches
        if _match_accepts(match, request, start)
    ]
    if not found:
        return None
    return found[0][1] if table.is_ordered else max(found, key=lambda one: one[0])[1]


def _rank_match(match: Match) -> tuple[int, int, int, int, int]:
    """Return how close a match is, as Gateway API orders them."""
    paths = [one for one in match.conditions if one.part == "uri"]
    exact = any(one.match_type == "exact" for one in paths)
    length = max((len(one.text) for one in paths), default=0)
    parts = [one.part.split(" ")[0] for one in match.conditions]
    return exact, length, parts.count("method"), parts.count("header"), parts.count("query")


def _match_accepts(match: Match, request: Request, start: Match) -> bool:
    return all(_condition_accepts(one, request, start) for one in match.conditions)


def _condition_accepts(one: Condition, request: Request, start: Match) -> bool:
    asked = {"uri": request.path, "scheme": request.scheme, "authority": request.host}
    if one.part in asked:
        return accepts_value(one, asked[one.part]) != one.negated
    same = [other for other in start.conditions if other.part == one.part]
    if not same:
        return one.negated
    return any(replace(other, at=one.at) == one for other in same)
