"""Match without a condition.

It looks at keys, not at the conditions that `rules` reads: what is reported here leaves none there.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_kind, read_spec
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.rules.istio.written import KEYS_WITHOUT_CONDITION
from meshproof.rules.written import PSEUDO_HEADERS

CODE = "MP0109"

#: Kind -> the path to what holds matches, and their key.
_MATCH_PATHS = {
    "VirtualService": ((("http",), "match"), (("tcp",), "match"), (("tls",), "match")),
    "RouteRule": (((), "match"),),
    "HTTPRoute": ((("rules",), "matches"),),
    "GRPCRoute": ((("rules",), "matches"),),
}
_STRING_CONDITIONS = (*PSEUDO_HEADERS, "path")
_REPAIR = "write the condition, or leave the key out where every request is meant"


def check(project: Project) -> Iterator[Hit]:
    """Report each match that lets every request through."""
    for document in project.documents_of_kind(*_MATCH_PATHS):
        for path, key in _MATCH_PATHS[read_kind(document)]:
            for holder in find_values(read_spec(document), *path):
                matches = holder.content.get(key) if isinstance(holder.content, dict) else None
                if matches is None:
                    continue
                if matches.content == []:
                    at = holder.keys.get(key, matches.at)
                    yield Hit(at, f"{matches.path}: no condition", _REPAIR)
                for match in matches.content if isinstance(matches.content, list) else [matches]:
                    if not project.has_defect_at(document, match.path):
                        yield from _check_match(match)


def _check_match(match: Value) -> Iterator[Hit]:
    """Report a match without a condition, and each condition without a value."""
    if not isinstance(match.content, dict):
        return
    conditions = {
        name: value for name, value in match.content.items() if name not in KEYS_WITHOUT_CONDITION
    }
    if not conditions:
        yield Hit(match.at, f"{match.path}: no condition", _REPAIR)
    for name, value in conditions.items():
        if name in _STRING_CONDITIONS and value.content == {}:
            at = match.keys.get(name, value.at)
            yield Hit(at, f"{value.path}: nothing to compare with", _REPAIR)
