"""Match without a condition."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_kind, read_spec

CODE = "MP0109"

#: Kind -> the way to what holds matches, and their key.
_PLACES = {
    "VirtualService": ((("http",), "match"), (("tcp",), "match"), (("tls",), "match")),
    "RouteRule": (((), "match"),),
    "HTTPRoute": ((("rules",), "matches"),),
    "GRPCRoute": ((("rules",), "matches"),),
}
_PARTS = ("authority", "method", "path", "scheme", "uri")
_NO_CONDITION = ("name", "statPrefix", "ignoreUriCase")
_REPAIR = "write the condition, or leave the key out where every request is meant"


def check(project: Project) -> Iterator[Hit]:
    """Report each match that lets every request through."""
    for document in project.documents_of_kind(*_PLACES):
        for way, key in _PLACES[read_kind(document)]:
            for holder in find_values(read_spec(document), *way):
                found = holder.content.get(key) if isinstance(holder.content, dict) else None
                if found is None:
                    continue
                if found.content == []:
                    yield Hit(
                        holder.keys.get(key, found.at), f"{found.path}: no condition", _REPAIR
                    )
                for match in found.content if isinstance(found.content, list) else [found]:
                    if not project.has_defect_at(document, match.path):
                        yield from _match(match)


def _match(match: Value) -> Iterator[Hit]:
    if not isinstance(match.content, dict):
        return
    parts = {name: one for name, one in match.content.items() if name not in _NO_CONDITION}
    if not parts:
        yield Hit(match.at, f"{match.path}: no condition", _REPAIR)
    for name, one in parts.items():
        if name in _PARTS and one.content == {}:
            at = match.keys.get(name, one.at)
            yield Hit(at, f"{one.path}: nothing to compare with", _REPAIR)
