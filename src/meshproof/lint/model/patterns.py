"""Every regex of the rules, whatever it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.project import Project, children, kind, spec, text

_PARTS = ("uri", "scheme", "method", "authority")
_MAPS = {"headers": "header", "withoutHeaders": "header", "queryParams": "query"}


@dataclass(frozen=True)
class Pattern:
    """A string that is compared: how (`exact`, `prefix`, `regex`), and with which part.

    `part` is `uri`, `authority`, `header cookie`, `query q`, `origin`, `rewrite`, ...
    `negated` where what is taken is left out (withoutHeaders).
    """

    document: Document
    part: str
    sort: str
    text: str
    at: At
    negated: bool = False


@lru_cache(maxsize=2)
def patterns(project: Project) -> tuple[Pattern, ...]:
    """Return every compared string of every rule."""
    readers = {
        "VirtualService": _virtual_service,
        "RouteRule": _route_rule,
        "HTTPRoute": _gateway_api,
        "GRPCRoute": _gateway_api,
    }
    return tuple(
        found for document in project.every(*readers) for found in readers[kind(document)](document)
    )


def regexes_of(project: Project) -> Iterator[Pattern]:
    """Yield those that are regexes."""
    for one in patterns(project):
        if one.sort == "regex":
            yield one


def _virtual_service(document: Document) -> Iterator[Pattern]:
    for route in children(spec(document), "http"):
        for match in children(route, "match"):
            for key in match.content if isinstance(match.content, dict) else ():
                if key in _PARTS:
                    for value in children(match, key):
                        yield from _strings(document, value, key)
                elif key in _MAPS:
                    found = children(match, key)
                    yield from _named(document, found, _MAPS[key], key == "withoutHeaders")
        for origin in children(route, "corsPolicy", "allowOrigins"):
            yield from _strings(document, origin, "origin")
        for value in children(route, "rewrite", "uriRegexRewrite", "match"):
            yield Pattern(document, "rewrite", "regex", text(value), value.at)


def _route_rule(document: Document) -> Iterator[Pattern]:
    for headers in children(spec(document), "match", "request", "headers"):
        content = headers.content if isinstance(headers.content, dict) else {}
        for name, value in content.items():
            is_part = name.lower() in ("uri", "scheme", "method", "authority")
            part = name.lower() if is_part else f"header {name.lower()}"
            if isinstance(value.content, str):
                yield Pattern(document, part, "exact", value.content, value.at)
            yield from _strings(document, value, part)


def _named(
    document: Document, found: list[Value], word: str, negated: bool = False
) -> Iterator[Pattern]:
    for strings in found:
        content = strings.content if isinstance(strings.content, dict) else {}
        for name, value in content.items():
            yield from _strings(document, value, f"{word} {name.lower()}", negated)


def _strings(
    document: Document, value: Value, part: str, negated: bool = False
) -> Iterator[Pattern]:
    content = value.content if isinstance(value.content, dict) else {}
    for sort in ("exact", "prefix", "regex"):
        found = content.get(sort)
        istio_present = sort == "regex" and text(found) == "*"
        if found is not None and isinstance(found.content, str) and not istio_present:
            yield Pattern(document, part, sort, found.content, found.at, negated)


def _gateway_api(document: Document) -> Iterator[Pattern]:
    for match in children(spec(document), "rules", "matches"):
        for key, word in (("path", "uri"), ("headers", "header"), ("queryParams", "query")):
            for one in children(match, key):
                content = one.content if isinstance(one.content, dict) else {}
                value, name = content.get("value"), text(content.get("name")).lower()
                is_regex = text(content.get("type")) == "RegularExpression"
                if value is not None and isinstance(value.content, str) and key != "method":
                    part = word if key == "path" else f"{word} {name}"
                    sort = "regex" if is_regex else "exact"
                    if key == "path" and text(content.get("type")) in ("", "PathPrefix"):
                        sort = "prefix"
                    yield Pattern(document, part, sort, value.content, value.at)
