"""From a match of the rules to Envoy's route match.

Source: Envoy's v3 API reference (RouteMatch, HeaderMatcher, QueryParameterMatcher).
"""

from __future__ import annotations

from meshproof.mesh.envoy.envoy import Resource
from meshproof.rules.model import Match, StringMatch


def route_match(match: Match | None) -> Resource:
    """Return what Envoy matches a request by; None takes every request."""
    if match is None:
        return {"prefix": "/"}
    found = _path(match)
    headers = [_header(name, condition) for name, condition in match.headers]
    headers += [_absent(name, condition) for name, condition in match.without_headers]
    if match.method:
        headers.append(_header(":method", match.method))
    if match.scheme:
        headers.append(_header(":scheme", match.scheme))
    if match.authority:
        headers.append(_header(":authority", match.authority))
    if headers:
        found["headers"] = headers
    if match.query:
        found["query_parameters"] = [_header(name, condition) for name, condition in match.query]
    return found


_PATHS = {"exact": "path", "prefix": "prefix", "path_prefix": "path_separated_prefix"}


def _path(match: Match) -> Resource:
    uri = match.uri
    if uri is None or uri.kind == "present":
        return {"prefix": "/"}
    if uri.kind == "regex":
        return {"safe_regex": {"regex": uri.value}}
    found: Resource = {_PATHS[uri.kind]: uri.value}
    if match.ignore_uri_case:
        found["case_sensitive"] = False
    return found


def _header(name: str, condition: StringMatch) -> Resource:
    """Return a matcher of a header or, in the same words, of a query parameter."""
    if condition.kind == "present":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_match(condition)}


def string_match(condition: StringMatch) -> Resource:
    """Return a matcher of a string that is exact, a prefix or a regex."""
    if condition.kind == "regex":
        return {"safe_regex": {"regex": condition.value}}
    return {condition.kind: condition.value}


def _absent(name: str, condition: StringMatch) -> Resource:
    found = {**_header(name, condition), "invert_match": True}
    if condition.kind != "present":
        found["treat_missing_header_as_empty"] = True
    return found
