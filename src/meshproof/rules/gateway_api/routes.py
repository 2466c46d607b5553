"""Reads the rules of HTTPRoutes and GRPCRoutes: matches and their order of precedence.

Source: Gateway API reference, HTTPRouteRule, HTTPRouteMatch, GRPCRouteRule and GRPCRouteMatch. As
in istiod, a regex comes after all other paths, the longer regex first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from meshproof.documents.manifest import Value
from meshproof.documents.problems import CheckedDocument
from meshproof.rules import judge_options
from meshproof.rules.actions import DirectResponse
from meshproof.rules.gateway_api import filters
from meshproof.rules.gateway_api.backends import BackendReader, ReferenceGrants
from meshproof.rules.gateway_api.written import find_kind, read_actions, read_match
from meshproof.rules.istio.actions import check_header_changes
from meshproof.rules.model import Match, Route, StringMatch
from meshproof.rules.written import PSEUDO_HEADERS, WrittenCondition, WrittenMatch

_HTTP_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_VALID_PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
_INVALID_PATH = re.compile(r"//|/\.{1,2}(?:/|$)|%2f", re.I)
#: Names of gRPC's services and methods.
_GRPC_SERVICE = re.compile(r"\.?[a-z_]\w*(?:\.[a-z_]\w*)*", re.I | re.A)
_GRPC_METHOD = re.compile(r"[A-Za-z_]\w*", re.A)
#: Kind of a path match -> its rank: the higher, the earlier.
_PATH_RANKS = {"exact": 3, "path_prefix": 2, "prefix": 2, "regex": 1}
#: The default path of an HTTPRoute.
_ROOT_PATH = "/"


@dataclass(frozen=True)
class RankedRoute:
    """A route with its precedence: the rank of its kind of path, and the path's length.

    On a tie a method decides, then the number of headers, then of query parameters.
    """

    route: Route
    rank: int
    length: int

    def sort_key(self) -> tuple[int, ...]:
        """Return a key that sorts routes into the order in which they are tried."""
        match = next(iter(self.route.matches), Match(self.route.at))
        counts = (match.method is not None, len(match.headers), len(match.query))
        return tuple(-criterion for criterion in (self.rank, self.length, *counts))


def read_ranked_routes(
    checked: CheckedDocument, grants: ReferenceGrants | None
) -> list[RankedRoute]:
    """Return a route for each match of an HTTPRoute's rules, in the order of the document.

    Without `grants` backends may be in any namespace. Raises BadRules with file and line where
    there is no rule; what of a rule is not valid or not supported is in the problems of its routes.
    """
    http_route, spec = checked.document, checked.document.spec
    is_grpc = http_route.kind == "GRPCRoute"
    options = judge_options.read_options(http_route)
    if spec.get("rules") is None and not is_grpc:
        # The API server adds one rule that takes everything.
        catch_all = Route((), (), spec.at, direct_response=DirectResponse(500), options=options)
        return [RankedRoute(catch_all, _PATH_RANKS["path_prefix"], 1)]
    rules = spec.need("rules")
    if not rules.items():
        raise rules.lacks("at least one rule")
    backends = BackendReader(http_route, grants)
    return [
        ranked
        for rule in rules.items()
        for ranked in _read_rule(checked, rule, Route((), (), rule.at, options=options), backends)
    ]


def _read_rule(
    checked: CheckedDocument, rule: Value, route: Route, backends: BackendReader
) -> Iterator[RankedRoute]:
    """Yield a ranked route for each match of a rule; `route` has nothing of it yet."""
    is_grpc = checked.document.kind == "GRPCRoute"
    matches: tuple[Match, ...] = ()
    with checked.collect(rule):
        name = rule.get("name")
        actions = read_actions(checked.document.kind, rule, checked.document.namespace)
        split = backends.read_split(actions, filters.read_backend_headers)
        complete_route = filters.add_filters(
            replace(route, name=name.text() if name else "", split=split),
            rule,
            actions,
            filters.GRPC_FILTERS if is_grpc else filters.HTTP_FILTERS,
            backends.read_mirror_target,
        )
        check_header_changes(complete_route)
        route = complete_route
    with checked.collect(rule):
        entries = rule.entries("matches")
        matches = checked.read_each(entries, lambda match: _read_match(match, is_grpc))
        for match in matches or [Match(rule.at)]:
            _check_replaced_prefix(route, match, rule)
    route = replace(route, problems=checked.list_errors(rule))
    for match in matches or [Match(rule.at)]:
        matched_route = replace(route, matches=(match,)) if match != Match(match.at) else route
        uri = match.uri.value if match.uri else ("" if is_grpc else _ROOT_PATH)
        rank = (
            _PATH_RANKS[match.uri.kind]
            if match.uri
            else (0 if is_grpc else _PATH_RANKS["path_prefix"])
        )
        yield RankedRoute(matched_route, rank, len(uri.encode()))


def _check_replaced_prefix(route: Route, match: Match, rule: Value) -> None:
    """Check that a match has a path prefix where a filter replaces it."""
    replacement = (route.redirect.prefix if route.redirect else "") or (
        route.rewrite and route.rewrite.uri
    )
    if not replacement or (match.uri and match.uri.kind == "path_prefix"):
        return
    if match.uri is None and replacement == "/":
        return  # each path begins with `/`, and stays as it is
    if match.uri is None:
        raise match.at.error(
            "what ReplacePrefixMatch makes of the prefix '/' is not specified "
            "(gateway-api issue 3592); istiod makes /newx of /x",
            path=rule.path,
        )
    raise match.uri.at.error("ReplacePrefixMatch needs a PathPrefix in each match", path=rule.path)


def _read_match(value: Value, is_grpc: bool) -> Match:
    match = read_match(value, is_grpc)
    match.check_form()
    if is_grpc:
        method_path = _read_grpc_method(value.get("method"))
        return Match(value.at, uri=method_path, headers=_read_headers(match))
    path, method = match.find("uri"), match.find("method")
    return Match(
        at=value.at,
        uri=_read_path(path) if path else None,
        method=StringMatch("exact", method.value.choice(*_HTTP_METHODS), method.at)
        if method
        else None,
        headers=_read_headers(match),
        query=_read_pairs(match, "query"),
    )


def _read_path(path: WrittenCondition) -> StringMatch | None:
    """Return the condition on a path, None for the prefix `/`, which every path has."""
    path_type = path.value.get("type")
    if path_type is not None:
        path_type.choice("Exact", "PathPrefix", "RegularExpression")
    value = path.value.get("value")
    kind = find_kind(path.value, "PathPrefix")
    at, text = (value.at, value.non_empty_text()) if value else (path.at, _ROOT_PATH)
    if kind == "regex":
        return StringMatch("regex", text, at)
    if value and (not _VALID_PATH.fullmatch(text) or _INVALID_PATH.search(text)):
        raise value.error("a path that begins with /, without //, dots for folders, %2f, ? and #")
    if kind == "exact":
        return StringMatch("exact", text, at)
    prefix = text.rstrip("/")
    return StringMatch("path_prefix", prefix, at) if prefix else None


def _read_grpc_method(method: Value | None) -> StringMatch | None:
    """Return the condition on the path of a gRPC call: /service/method, built as in istiod."""
    if method is None:
        return None
    match_type, method_value, service = (method.get(key) for key in ("type", "method", "service"))
    is_exact = match_type is None or match_type.choice("Exact", "RegularExpression") == "Exact"
    for value, pattern in ((service, _GRPC_SERVICE), (method_value, _GRPC_METHOD)):
        if is_exact and value and not pattern.fullmatch(value.non_empty_text()):
            raise value.error("a name of gRPC: letters, digits and _")
    method_name, service_name = (
        method_value.non_empty_text() if method_value else "",
        service.non_empty_text() if service else "",
    )
    if not method_name and not service_name:
        raise method.lacks("at least one of method, service")
    if is_exact and service_name and method_name:
        return StringMatch("exact", f"/{service_name}/{method_name}", method.at)
    if is_exact and service_name:
        # istiod (route.go, TranslateRouteMatch): a prefix of whole elements, so `/service` has it.
        return StringMatch("path_prefix", f"/{service_name}", method.at)
    return StringMatch("regex", f"/{service_name or '[^/]+'}/{method_name or '.+'}", method.at)


def _read_headers(match: WrittenMatch) -> tuple[tuple[str, StringMatch], ...]:
    """Return the conditions on headers, by lower-case name."""
    pairs = _read_pairs(match, "header")
    lower_pairs = tuple((name.lower(), condition) for name, condition in pairs)
    path = match.value.path
    for number, (name, condition) in enumerate(lower_pairs):
        if name in (*PSEUDO_HEADERS, "host"):
            raise condition.at.error(f"'{name}' is no header that Istio looks at", path=path)
        if name in dict(lower_pairs[:number]):
            raise condition.at.error(f"a second condition on the header '{name}'", path=path)
    return lower_pairs


def _read_pairs(match: WrittenMatch, part: str) -> tuple[tuple[str, StringMatch], ...]:
    """Return the conditions on headers or query parameters, by name."""
    pairs: dict[str, StringMatch] = {}
    for condition in match.list(part):
        entry = condition.value
        name, match_type, value = entry.need("name"), entry.get("type"), entry.need("value")
        if match_type is not None:
            match_type.choice("Exact", "RegularExpression")
        if name.non_empty_text() in pairs:
            raise name.at.error(f"a second condition on '{name.text()}'", path=entry.path)
        is_regex = find_kind(entry, "Exact") == "regex"
        pairs[name.text()] = StringMatch(
            "regex" if is_regex else "exact", value.non_empty_text(), value.at
        )
    return tuple(pairs.items())
