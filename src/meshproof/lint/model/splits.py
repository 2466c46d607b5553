"""Traffic splits of all dialects: lists of destinations that share requests by weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from meshproof.documents.lookup import find_values, read_kind, read_spec
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.project import Project

#: Kind -> (way to the mappings that hold a split, its key, weight of an entry that has none).
_SPLIT_PATHS: dict[str, tuple[tuple[tuple[str, ...], str, int], ...]] = {
    "VirtualService": ((("http",), "route", 0), (("tcp",), "route", 0), (("tls",), "route", 0)),
    "RouteRule": (((), "route", 0),),
    "HTTPRoute": ((("rules",), "backendRefs", 1),),
    "GRPCRoute": ((("rules",), "backendRefs", 1),),
}


@dataclass(frozen=True)
class Split:
    """A list of destinations. `at` is where its key stands."""

    document: Document
    kind: str
    at: At
    path: str
    entries: tuple[Value, ...]
    default_weight: int

    @cached_property
    def weights(self) -> list[int] | None:
        """The weight of every entry, or None if one is no whole number (it has a finding)."""
        weights = []
        for entry in self.entries:
            weight = entry.mapping().get("weight")
            content = self.default_weight if weight is None else weight.content
            if isinstance(content, bool) or not isinstance(content, int):
                return None
            weights.append(content)
        return weights

    @property
    def entries_without_weight(self) -> list[Value]:
        """The entries that have no weight."""
        return [entry for entry in self.entries if "weight" not in entry.mapping()]


@lru_cache(maxsize=2)
def read_splits(project: Project) -> tuple[Split, ...]:
    """Return every split that has an entry, read once for all checks of a project."""
    return tuple(_find_splits(project))


def _find_splits(project: Project) -> Iterator[Split]:
    """Yield the splits of every document."""
    for document in project.documents_of_kind(*_SPLIT_PATHS):
        name = read_kind(document)
        for holder_path, key, default_weight in _SPLIT_PATHS.get(name, ()):
            for holder in find_values(read_spec(document), *holder_path):
                list_value = holder.content.get(key) if isinstance(holder.content, dict) else None
                if list_value is None or not isinstance(list_value.content, list):
                    continue
                entries = tuple(
                    entry for entry in list_value.content if isinstance(entry.content, dict)
                )
                if entries:
                    at = holder.keys.get(key, list_value.at)
                    yield Split(document, name, at, list_value.path, entries, default_weight)
