"""Deprecated key.

It looks at keys, not at what `rules` reads: there a value is the same by whichever of its names.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.rules.istio.written import MIRROR_PERCENTAGES

CODE = "MP0213"

#: Kind -> the path to what holds the key, the key, and its replacement.
_DEPRECATED_KEYS = {
    "VirtualService": (
        (("http", "fault", "delay"), "percent", "percentage: {{value: {}}}"),
        *((("http",), key, "mirrorPercentage: {{value: {}}}") for key in MIRROR_PERCENTAGES[1:]),
        (("http", "corsPolicy"), "allowOrigin", "allowOrigins: [{{exact: ...}}]"),
    ),
    "Sidecar": (
        (("outboundTrafficPolicy",), "egressProxy", "leave it out: Istio does not look at it"),
    ),
}


def check(project: Project) -> Iterator[Hit]:
    """Report each key that Istio's reference calls deprecated."""
    for kind, deprecated_keys in _DEPRECATED_KEYS.items():
        for document in project.named_documents(kind, group="networking.istio.io"):
            for path, key, replacement in deprecated_keys:
                for parent in find_values(read_spec(document), *path):
                    yield from _check_key(project, document, parent, key, replacement)


def _check_key(
    project: Project, document: Document, parent: Value, key: str, replacement: str
) -> Iterator[Hit]:
    """Report a deprecated key of a mapping, unless it has a finding already."""
    value = parent.content.get(key) if isinstance(parent.content, dict) else None
    if value is not None and not project.has_defect_at(document, value.path):
        at = parent.keys.get(key, value.at)
        yield Hit(at, f"{parent.path}: '{key}' is deprecated", replacement.format(value.content))
