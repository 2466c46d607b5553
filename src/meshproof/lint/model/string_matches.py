"""Every string of the rules that a request is compared with, regexes among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.lookup import find_values, read_kind, read_spec, read_text
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.project import Project

_STRING_PARTS = ("uri", "scheme", "method", "authority")
_MAP_PARTS = {"headers": "header", "withoutHeaders": "header", "queryParams": "query"}


@dataclass(frozen=True)
class StringMatch:
    """A string that a part of a request is compared with. `match_type` says how.

    `match_type` is `exact`, `prefix` or `regex`. `part` is `uri`, `authority`, `header cookie`,
    `query q`, `origin`, `rewrite`, ... `negated` if a match excludes the request (withoutHeaders).
    """

    document: Document
    part: str
    match_type: str
    text: str
    at: At
    negated: bool = False


@lru_cache(maxsize=2)
def read_string_matches(project: Project) -> tuple[StringMatch, ...]:
    """Return every compared string of every rule."""
    readers = {
        "VirtualService": _read_virtual_service,
        "RouteRule": _read_route_rule,
        "HTTPRoute": _read_gateway_api,
        "GRPCRoute": _read_gateway_api,
    }
    return tuple(
        string_match
        for document in project.documents_of_kind(*readers)
        for string_match in readers[read_kind(document)](document)
    )


def read_regexes(project: Project) -> Iterator[StringMatch]:
    """Yield the string matches that are regexes."""
    for string_match in read_string_matches(project):
        if string_match.match_type == "regex":
            yield string_match


def _read_virtual_service(document: Document) -> Iterator[StringMatch]:
    """Yield the string matches of a VirtualService."""
    for route in find_values(read_spec(document), "http"):
        for match in find_values(route, "match"):
            for key in match.content if isinstance(match.content, dict) else ():
                if key in _STRING_PARTS:
                    for value in find_values(match, key):
                        yield from _read_strings(document, value, key)
                elif key in _MAP_PARTS:
                    maps = find_values(match, key)
                    yield from _read_maps(document, maps, _MAP_PARTS[key], key == "withoutHeaders")
        for origin in find_values(route, "corsPolicy", "allowOrigins"):
            yield from _read_strings(document, origin, "origin")
        for value in find_values(route, "rewrite", "uriRegexRewrite", "match"):
            yield StringMatch(document, "rewrite", "regex", read_text(value), value.at)


def _read_route_rule(document: Document) -> Iterator[StringMatch]:
    """Yield the string matches of a RouteRule."""
    for headers in find_values(read_spec(document), "match", "request", "headers"):
        content = headers.content if isinstance(headers.content, dict) else {}
        for name, value in content.items():
            is_part = name.lower() in ("uri", "scheme", "method", "authority")
            part = name.lower() if is_part else f"header {name.lower()}"
            if isinstance(value.content, str):
                yield StringMatch(document, part, "exact", value.content, value.at)
            yield from _read_strings(document, value, part)


def _read_maps(
    document: Document, maps: list[Value], part_name: str, negated: bool = False
) -> Iterator[StringMatch]:
    """Yield the string matches in maps from names (of headers, of queries) to strings."""
    for map_value in maps:
        content = map_value.content if isinstance(map_value.content, dict) else {}
        for name, value in content.items():
            yield from _read_strings(document, value, f"{part_name} {name.lower()}", negated)


def _read_strings(
    document: Document, value: Value, part: str, negated: bool = False
) -> Iterator[StringMatch]:
    """Yield the string matches in one StringMatch of Istio. `regex: "*"` means present."""
    content = value.content if isinstance(value.content, dict) else {}
    for match_type in ("exact", "prefix", "regex"):
        text_value = content.get(match_type)
        means_present = match_type == "regex" and read_text(text_value) == "*"
        if text_value is not None and isinstance(text_value.content, str) and not means_present:
            yield StringMatch(
                document, part, match_type, text_value.content, text_value.at, negated
            )


def _read_gateway_api(document: Document) -> Iterator[StringMatch]:
    """Yield the string matches of an HTTPRoute or GRPCRoute."""
    for match in find_values(read_spec(document), "rules", "matches"):
        for key, part_name in (("path", "uri"), ("headers", "header"), ("queryParams", "query")):
            for condition in find_values(match, key):
                content = condition.content if isinstance(condition.content, dict) else {}
                value, name = content.get("value"), read_text(content.get("name")).lower()
                is_regex = read_text(content.get("type")) == "RegularExpression"
                if value is not None and isinstance(value.content, str) and key != "method":
                    part = part_name if key == "path" else f"{part_name} {name}"
                    match_type = "regex" if is_regex else "exact"
                    if key == "path" and read_text(content.get("type")) in ("", "PathPrefix"):
                        match_type = "prefix"
                    yield StringMatch(document, part, match_type, value.content, value.at)
