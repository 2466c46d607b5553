"""Reads the rules of HTTPRoutes and GRPCRoutes: matches, and the order in which they are tried.

Source: Gateway API reference, HTTPRouteRule, HTTPRouteMatch, GRPCRouteRule and GRPCRouteMatch. How
a regex compares with other paths is istiod's choice: after all of them, the longer first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from meshproof.documents.manifest import Document, Value
from meshproof.rules import judge_options
from meshproof.rules.actions import DirectResponse
from meshproof.rules.gateway_api import filters
from meshproof.rules.gateway_api.backends import Backends, Grants
from meshproof.rules.istio.actions import check_headers
from meshproof.rules.istio.virtual_service import NO_HEADERS
from meshproof.rules.model import Match, Route, StringMatch

_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
_NO_PATH = re.compile(r"//|/\.{1,2}(?:/|$)|%2f", re.I)
#: Names of gRPC's services and methods.
_SERVICE = re.compile(r"\.?[a-z_]\w*(?:\.[a-z_]\w*)*", re.I | re.A)
_METHOD = re.compile(r"[A-Za-z_]\w*", re.A)
#: Kind of a path match -> its place in the order.
_RANKS = {"exact": 3, "path_prefix": 2, "prefix": 2, "regex": 1}
#: The path of an HTTPRoute that none is written for.
_ROOT = "/"


@dataclass(frozen=True)
class Ranked:
    """A route with what its place among others follows from: the more, the earlier.

    `rank` is that of the kind of path, `length` is the path's; then come a method, headers, query.
    """

    route: Route
    rank: int
    length: int

    def order(self) -> tuple[int, ...]:
        """Return a key that sorts what is tried first to the front; equal ones keep their order."""
        match = next(iter(self.route.matches), Match(self.route.at))
        counts = (match.method is not None, len(match.headers), len(match.query))
        return tuple(-one for one in (self.rank, self.length, *counts))


def ranked(http_route: Document, grants: Grants | None) -> list[Ranked]:
    """Return a route for each match of an HTTPRoute's rules, in the order they are written.

    Without `grants` backends may be anywhere. Raises BadRules with its place for what is unknown or
    not supported yet.
    """
    spec, grpc, options = (
        http_route.spec,
        http_route.kind == "GRPCRoute",
        judge_options.read(http_route),
    )
    spec.allow("hostnames", "parentRefs", "rules", unsupported=("useDefaultGateways",))
    if spec.get("rules") is None and not grpc:
        # One rule that takes everything is what the API server puts in its place.
        alone = Route((), (), spec.at, direct_response=DirectResponse(500), options=options)
        return [Ranked(alone, _RANKS["path_prefix"], 1)]
    rules = spec.need("rules")
    if not rules.items():
        raise rules.error("at least one rule")
    backends = Backends(http_route, grants)
    found = [one for rule in rules.items() for one in _routes(rule, backends, grpc)]
    return [replace(one, route=replace(one.route, options=options)) for one in found]


def _routes(rule: Value, backends: Backends, grpc: bool) -> Iterator[Ranked]:
    own = () if grpc else ("retry", "timeouts")
    rule.allow(
        *("backendRefs", "filters", "matches", "name", *own), unsupported=("sessionPersistence",)
    )
    name, found = rule.get("name"), rule.get("matches")
    route = Route(
        matches=(),
        split=backends.split(rule, filters.backend_headers),
        at=rule.at,
        name=name.text() if name else "",
    )
    types = filters.OF_GRPC if grpc else filters.OF_HTTP
    route = filters.acting(route, rule, types, backends.mirror)
    check_headers(route)
    matches = [_match(one, grpc) for one in found.items()] if found else []
    for match in matches or [Match(rule.at)]:
        _check_prefix(route, match, rule)
        taken = replace(route, matches=(match,)) if match != Match(match.at) else route
        uri = match.uri.value if match.uri else ("" if grpc else _ROOT)
        rank = _RANKS[match.uri.kind] if match.uri else (0 if grpc else _RANKS["path_prefix"])
        yield Ranked(taken, rank, len(uri.encode()))


def _check_prefix(route: Route, match: Match, rule: Value) -> None:
    """Check that there is a prefix where one is replaced."""
    moved = (route.redirect.prefix if route.redirect else "") or (
        route.rewrite and route.rewrite.uri
    )
    if not moved or (match.uri and match.uri.kind == "path_prefix"):
        return
    if match.uri is None:
        raise match.at.error(
            f"{rule.path}: what ReplacePrefixMatch makes of the prefix '/' is not specified "
            "(gateway-api issue 3592); istiod makes /newx of /x"
        )
    raise match.uri.at.error(f"{rule.path}: ReplacePrefixMatch needs a PathPrefix in each match")


def _match(match: Value, grpc: bool) -> Match:
    if grpc:
        match.allow("headers", "method")
        return Match(match.at, uri=_call(match.get("method")), headers=_headers(match))
    match.allow("headers", "method", "path", "queryParams")
    method = match.get("method")
    return Match(
        at=match.at,
        uri=_path(match.get("path")),
        method=StringMatch("exact", method.choice(*_METHODS), method.at) if method else None,
        headers=_headers(match),
        query=_pairs(match, "queryParams"),
    )


def _path(path: Value | None) -> StringMatch | None:
    """Return the condition on a path; None for the prefix `/`, which every path has."""
    if path is None:
        return None
    path.allow("type", "value")
    how, value = path.get("type"), path.get("value")
    kind = how.choice("Exact", "PathPrefix", "RegularExpression") if how else "PathPrefix"
    at, text = (value.at, value.filled()) if value else (path.at, _ROOT)
    if kind == "RegularExpression":
        return StringMatch("regex", text, at)
    if value and (not _PATH.fullmatch(text) or _NO_PATH.search(text)):
        raise value.error("a path that begins with /, without //, dots for folders, %2f, ? and #")
    if kind == "Exact":
        return StringMatch("exact", text, at)
    whole = text.rstrip("/")
    return StringMatch("path_prefix", whole, at) if whole else None


def _call(method: Value | None) -> StringMatch | None:
    """Return the condition on the path of a gRPC call: /service/method, joined as istiod does."""
    if method is None:
        return None
    method.allow("method", "service", "type")
    how, name, service = (method.get(key) for key in ("type", "method", "service"))
    exact = how is None or how.choice("Exact", "RegularExpression") == "Exact"
    for value, known in ((service, _SERVICE), (name, _METHOD)):
        if exact and value and not known.fullmatch(value.filled()):
            raise value.error("a name of gRPC: letters, digits and _")
    called, owner = (name.filled() if name else "", service.filled() if service else "")
    if not called and not owner:
        raise method.error("at least one of method, service")
    if exact and owner:
        return StringMatch("exact" if called else "prefix", f"/{owner}/{called}", method.at)
    return StringMatch("regex", f"/{owner or '[^/]+'}/{called or '.+'}", method.at)


def _headers(match: Value) -> tuple[tuple[str, StringMatch], ...]:
    found = _pairs(match, "headers")
    lower = tuple((name.lower(), condition) for name, condition in found)
    for number, (name, condition) in enumerate(lower):
        if name in (*NO_HEADERS, "host"):
            raise condition.at.error(f"{match.path}: '{name}' is no header that Istio looks at")
        if name in dict(lower[:number]):
            raise condition.at.error(f"{match.path}: a second condition on the header '{name}'")
    return lower


def _pairs(match: Value, key: str) -> tuple[tuple[str, StringMatch], ...]:
    """Return conditions by name, as headers and query parameters are written."""
    pairs: dict[str, StringMatch] = {}
    found = match.get(key)
    for entry in found.items() if found else []:
        entry.allow("name", "type", "value")
        name, how, value = entry.need("name"), entry.get("type"), entry.need("value")
        regex = how is not None and how.choice("Exact", "RegularExpression") == "RegularExpression"
        if name.filled() in pairs:
            raise name.at.error(f"{entry.path}: a second condition on '{name.text()}'")
        pairs[name.text()] = StringMatch("regex" if regex else "exact", value.filled(), value.at)
    return tuple(pairs.items())
