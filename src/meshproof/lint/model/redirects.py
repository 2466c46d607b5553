"""Redirects of all dialects, followed as a browser would."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshproof.documents.manifest import Value
from meshproof.lint.engine.project import children, spec, text
from meshproof.lint.model.conditions import Condition, takes
from meshproof.lint.model.inventory import Inventory
from meshproof.lint.model.route import Match, Route, RouteTable

#: So many redirects are followed.
_MOST = 20


@dataclass(frozen=True)
class Redirect:
    """Where a redirect leads: what is empty stays as it was asked. `cut` replaces the prefix only.

    `sure` is False for one that cannot be followed: to another port.
    """

    at: Value
    path: str = ""
    cut: bool = False
    host: str = ""
    scheme: str = ""
    sure: bool = True


@dataclass(frozen=True)
class Request:
    """What a browser asks for; headers and the rest are those that the first route wants."""

    scheme: str
    host: str
    path: str


def redirect_of(route: Route) -> Redirect | None:
    """Return a route's redirect."""
    for value in children(route.value, "redirect"):
        content = value.content if isinstance(value.content, dict) else {}
        cut = "prefixRewrite" in content
        return Redirect(
            value,
            text(content.get("prefixRewrite" if cut else "uri")),
            cut,
            text(content.get("authority")),
            text(content.get("scheme")),
            not {"port", "derivePort"} & set(content),
        )
    for value in children(route.value, "filters", "requestRedirect"):
        content = value.content if isinstance(value.content, dict) else {}
        whole = [*children(value, "path", "replaceFullPath")]
        cuts = [*children(value, "path", "replacePrefixMatch")]
        path = text((whole or cuts)[0]) if whole or cuts else ""
        host, scheme = text(content.get("hostname")), text(content.get("scheme"))
        return Redirect(value, path, bool(cuts), host, scheme, "port" not in content)
    return None


def follow(table: RouteTable, first: Route, around: Inventory) -> list[tuple[Route, str]]:
    """Return the routes of a circle of redirects with the places asked for, empty if it ends."""
    for start in first.matches:
        request = _first_request(table, start)
        if request is None:
            continue
        seen: list[tuple[Route, Request]] = []
        route: Route | None = first
        for _ in range(_MOST):
            found = redirect_of(route) if route is not None else None
            if route is None or found is None or not found.sure:
                break
            seen.append((route, request))
            request = _next(request, found, route)
            if not _stays(table, seen[-1][1], request, around):
                break
            route = _taking(table, request, start)
            if route is first:
                return [(one, _shown(asked)) for one, asked in [*seen, (first, request)]]
            if any(route is one for one, _ in seen):
                break
    return []


def _first_request(table: RouteTable, match: Match) -> Request | None:
    path, scheme = "/", "http"
    for one in match.conditions:
        if one.negated:
            continue
        if one.part == "uri":
            if one.sort == "regex":
                return None
            path = one.text or "/"
        elif one.part == "scheme":
            scheme = one.text
    host = table.hosts[0].written if table.hosts else "*"
    return Request(scheme, host, path)


def _shown(request: Request) -> str:
    return f"{request.scheme}://{request.host}{request.path}"


def _next(request: Request, found: Redirect, route: Route) -> Request:
    path = found.path or request.path
    if found.cut:
        path = found.path + request.path[len(_prefix(request, route)) :]
    return Request(found.scheme or request.scheme, found.host or request.host, path or "/")


def _prefix(request: Request, route: Route) -> str:
    """Return the part of the path that the route's match names."""
    for match in route.matches:
        for one in match.conditions:
            if one.part == "uri" and one.sort != "regex" and takes(one, request.path):
                return one.text
    return "/" if request.path.startswith("/") else ""


def _stays(table: RouteTable, before: Request, after: Request, around: Inventory) -> bool:
    """Say whether the redirected request comes to the same rule again."""
    if after.host != before.host and after.host not in {one.written for one in table.hosts}:
        return False
    if after.scheme == before.scheme or not table.gateways:
        return True
    ways = [around.ways.get(one.full) for one in table.gateways]
    return any(
        server.tls is not None and server.protocol == "HTTPS"
        for way in ways
        if way is not None and _all_servers(table)
        for server in way.servers
    )


def _all_servers(table: RouteTable) -> bool:
    """Say whether the rule is for every listener of its gateway."""
    named = children(spec(table.document), "parentRefs", "sectionName")
    return not named and not children(spec(table.document), "parentRefs", "port")


def _taking(table: RouteTable, request: Request, start: Match) -> Route | None:
    """Return the route that takes a request: the first, or by Gateway API the closest."""
    found = [
        (_closeness(match), route)
        for route in table.of("http")
        for match in route.matches
        if _holds(match, request, start)
    ]
    if not found:
        return None
    return found[0][1] if table.in_order else max(found, key=lambda one: one[0])[1]


def _closeness(match: Match) -> tuple[int, int, int, int, int]:
    """Return how close a match is, as Gateway API orders them."""
    paths = [one for one in match.conditions if one.part == "uri"]
    exact = any(one.sort == "exact" for one in paths)
    length = max((len(one.text) for one in paths), default=0)
    parts = [one.part.split(" ")[0] for one in match.conditions]
    return exact, length, parts.count("method"), parts.count("header"), parts.count("query")


def _holds(match: Match, request: Request, start: Match) -> bool:
    return all(_fulfilled(one, request, start) for one in match.conditions)


def _fulfilled(one: Condition, request: Request, start: Match) -> bool:
    asked = {"uri": request.path, "scheme": request.scheme, "authority": request.host}
    if one.part in asked:
        return takes(one, asked[one.part]) != one.negated
    same = [other for other in start.conditions if other.part == one.part]
    if not same:
        return one.negated
    return any(replace(other, at=one.at) == one for other in same)
