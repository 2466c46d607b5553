"""Deployment without a selector that fits its pods."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, locate_spec, read_spec, read_text

CODE = "MP0208"


def check(project: Project) -> Iterator[Hit]:
    """Report each Deployment whose selector is missing or selects none of its own pods."""
    for document in project.documents_of_kind("Deployment"):
        found = read_spec(document)
        if found is None:
            continue
        pods = _texts(find_values(found, "template", "metadata", "labels"))
        shown = ", ".join(f"{key}: {value}" for key, value in pods.items())
        repair = f"selector: {{matchLabels: {{{shown}}}}}" if pods else "selector:"
        if project.lacks_keys(document, found, "selector"):
            yield Hit(locate_spec(document), "spec: 'selector' is missing", repair)
            continue
        for selector in find_values(found, "selector"):
            wanted = _texts(find_values(selector, "matchLabels"))
            if not set(wanted.items()) <= set(pods.items()):
                at = found.keys.get("selector", selector.at)
                yield Hit(at, "spec.selector: the template's labels do not satisfy it", repair)


def _texts(found: list[Value]) -> dict[str, str]:
    return {
        key: read_text(value)
        for one in found
        if isinstance(one.content, dict)
        for key, value in one.content.items()
    }
