"""Deployment without a selector that fits its pods."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, locate_spec, read_spec, read_text
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0208"


def check(project: Project) -> Iterator[Hit]:
    """Report each Deployment whose selector is missing or selects none of its own pods."""
    for document in project.documents_of_kind("Deployment"):
        spec = read_spec(document)
        if spec is None:
            continue
        pod_labels = _read_labels(find_values(spec, "template", "metadata", "labels"))
        label_text = ", ".join(f"{key}: {value}" for key, value in pod_labels.items())
        repair = f"selector: {{matchLabels: {{{label_text}}}}}" if pod_labels else "selector:"
        if project.lacks_keys(document, spec, "selector"):
            yield Hit(locate_spec(document), "spec: 'selector' is missing", repair)
            continue
        for selector in find_values(spec, "selector"):
            selector_labels = _read_labels(find_values(selector, "matchLabels"))
            if not set(selector_labels.items()) <= set(pod_labels.items()):
                at = spec.keys.get("selector", selector.at)
                yield Hit(at, "spec.selector: the template's labels do not satisfy it", repair)


def _read_labels(mappings: list[Value]) -> dict[str, str]:
    """Return the texts of all mappings together."""
    return {
        key: read_text(value)
        for mapping in mappings
        if isinstance(mapping.content, dict)
        for key, value in mapping.content.items()
    }
