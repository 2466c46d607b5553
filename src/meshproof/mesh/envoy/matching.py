"""Translate a match of the rules to Envoy's route match.

Source: Envoy's v3 API reference (RouteMatch, HeaderMatcher, QueryParameterMatcher).
"""

from __future__ import annotations

from meshproof.mesh.envoy.envoy import Resource
from meshproof.rules.model import Match, StringMatch


def translate_match(match: Match | None) -> Resource:
    """Return Envoy's route match; None matches every request."""
    if match is None:
        return {"prefix": "/"}
    config = _translate_path(match)
    headers = [_translate_condition(name, condition) for name, condition in match.headers]
    headers += [_translate_absence(name, condition) for name, condition in match.without_headers]
    if match.method:
        headers.append(_translate_condition(":method", match.method))
    if match.scheme:
        headers.append(_translate_condition(":scheme", match.scheme))
    if match.authority:
        headers.append(_translate_condition(":authority", match.authority))
    if headers:
        config["headers"] = headers
    if match.query:
        config["query_parameters"] = [
            _translate_condition(name, condition) for name, condition in match.query
        ]
    return config


_PATH_FIELDS = {"exact": "path", "prefix": "prefix", "path_prefix": "path_separated_prefix"}


def _translate_path(match: Match) -> Resource:
    """Return the path part of Envoy's route match."""
    uri = match.uri
    if uri is None or uri.kind == "present":
        return {"prefix": "" if match.has_empty_prefix else "/"}
    if uri.kind == "regex":
        return {"safe_regex": {"regex": uri.value}}
    config: Resource = {_PATH_FIELDS[uri.kind]: uri.value}
    if match.ignore_uri_case:
        config["case_sensitive"] = False
    return config


def _translate_condition(name: str, condition: StringMatch) -> Resource:
    """Return Envoy's matcher of a header; query parameters have the same form."""
    if condition.kind == "present":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": translate_string_match(condition)}


def translate_string_match(condition: StringMatch) -> Resource:
    """Return Envoy's matcher of a string: exact, prefix or regex."""
    if condition.kind == "regex":
        return {"safe_regex": {"regex": condition.value}}
    return {condition.kind: condition.value}


def _translate_absence(name: str, condition: StringMatch) -> Resource:
    """Return a header matcher for requests that do not meet a condition."""
    matcher = {**_translate_condition(name, condition), "invert_match": True}
    if condition.kind != "present":
        matcher["treat_missing_header_as_empty"] = True
    return matcher
