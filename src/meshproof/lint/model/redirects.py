"""Redirects of all dialects, followed as a browser would."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshproof.documents.manifest import Value
from meshproof.lint.engine.project import children, spec, text
from meshproof.lint.model.conditions import Condition, takes
from meshproof.lint.model.inventory import Surroundings
from meshproof.lint.model.route import Arm, Match, Route

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
    """What a browser asks for; headers and the rest are those that the first arm wants."""

    scheme: str
    host: str
    path: str


def redirect_of(arm: Arm) -> Redirect | None:
    """Return an arm's redirect."""
    for value in children(arm.value, "redirect"):
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
    for value in children(arm.value, "filters", "requestRedirect"):
        content = value.content if isinstance(value.content, dict) else {}
        whole = [*children(value, "path", "replaceFullPath")]
        cuts = [*children(value, "path", "replacePrefixMatch")]
        path = text((whole or cuts)[0]) if whole or cuts else ""
        host, scheme = text(content.get("hostname")), text(content.get("scheme"))
        return Redirect(value, path, bool(cuts), host, scheme, "port" not in content)
    return None


def follow(route: Route, first: Arm, around: Surroundings) -> list[tuple[Arm, str]]:
    """Return the arms of a circle of redirects with the places asked for, empty if it ends."""
    for start in first.matches:
        request = _first_request(route, start)
        if request is None:
            continue
        seen: list[tuple[Arm, Request]] = []
        arm: Arm | None = first
        for _ in range(_MOST):
            found = redirect_of(arm) if arm is not None else None
            if arm is None or found is None or not found.sure:
                break
            seen.append((arm, request))
            request = _next(request, found, arm)
            if not _stays(route, seen[-1][1], request, around):
                break
            arm = _taking(route, request, start)
            if arm is first:
                return [(one, _shown(asked)) for one, asked in [*seen, (first, request)]]
            if any(arm is one for one, _ in seen):
                break
    return []


def _first_request(route: Route, match: Match) -> Request | None:
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
    host = route.hosts[0].written if route.hosts else "*"
    return Request(scheme, host, path)


def _shown(request: Request) -> str:
    return f"{request.scheme}://{request.host}{request.path}"


def _next(request: Request, found: Redirect, arm: Arm) -> Request:
    path = found.path or request.path
    if found.cut:
        path = found.path + request.path[len(_prefix(request, arm)) :]
    return Request(found.scheme or request.scheme, found.host or request.host, path or "/")


def _prefix(request: Request, arm: Arm) -> str:
    """Return the part of the path that the arm's match names."""
    for match in arm.matches:
        for one in match.conditions:
            if one.part == "uri" and one.sort != "regex" and takes(one, request.path):
                return one.text
    return "/" if request.path.startswith("/") else ""


def _stays(route: Route, before: Request, after: Request, around: Surroundings) -> bool:
    """Say whether the redirected request comes to the same rule again."""
    if after.host != before.host and after.host not in {one.written for one in route.hosts}:
        return False
    if after.scheme == before.scheme or not route.gateways:
        return True
    ways = [around.ways.get(one.full) for one in route.gateways]
    return any(
        server.tls is not None and server.protocol == "HTTPS"
        for way in ways
        if way is not None and _all_servers(route)
        for server in way.servers
    )


def _all_servers(route: Route) -> bool:
    """Say whether the rule is for every listener of its gateway."""
    named = children(spec(route.document), "parentRefs", "sectionName")
    return not named and not children(spec(route.document), "parentRefs", "port")


def _taking(route: Route, request: Request, start: Match) -> Arm | None:
    """Return the arm that takes a request: the first, or by Gateway API the closest."""
    found = [
        (_closeness(match), arm)
        for arm in route.of("http")
        for match in arm.matches
        if _holds(match, request, start)
    ]
    if not found:
        return None
    return found[0][1] if route.in_order else max(found, key=lambda one: one[0])[1]


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
