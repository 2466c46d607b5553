"""Deprecated key."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec

CODE = "MP0213"

#: Kind -> the way to what holds the key, the key, and what is written today.
_PLACES = {
    "VirtualService": (
        (("http", "fault", "delay"), "percent", "percentage: {{value: {}}}"),
        (("http",), "mirrorPercent", "mirrorPercentage: {{value: {}}}"),
        (("http",), "mirror_percent", "mirrorPercentage: {{value: {}}}"),
        (("http", "corsPolicy"), "allowOrigin", "allowOrigins: [{{exact: ...}}]"),
    ),
    "Sidecar": (
        (("outboundTrafficPolicy",), "egressProxy", "leave it out: Istio does not look at it"),
    ),
}


def check(project: Project) -> Iterator[Hit]:
    """Report each key that Istio's reference calls deprecated."""
    for kind, places in _PLACES.items():
        for document in project.named_documents(kind, group="networking.istio.io"):
            for way, key, today in places:
                for holder in find_values(read_spec(document), *way):
                    yield from _hits(project, document, holder, key, today)


def _hits(
    project: Project, document: Document, holder: Value, key: str, today: str
) -> Iterator[Hit]:
    found = holder.content.get(key) if isinstance(holder.content, dict) else None
    if found is not None and not project.has_defect_at(document, found.path):
        at = holder.keys.get(key, found.at)
        yield Hit(at, f"{holder.path}: '{key}' is deprecated", today.format(found.content))
