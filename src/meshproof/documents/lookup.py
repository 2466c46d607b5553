"""Looks into documents without raising: what is missing or has another shape is left out."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import Labels, sort_labels
from meshproof.documents.manifest import At, Document, Value


def find_values(parent: Value | None, *path: str) -> list[Value]:
    """Return the values at a path below `parent`, going into every list on the way.

    `find_values(spec, "http", "route", "destination")` returns all destinations.
    """
    if parent is None:
        return []
    values = [parent]
    for key in path:
        parents, values = values, []
        for value in parents:
            content = value.content
            if content.__class__ is dict and key in content:  # quicker than isinstance
                child = content[key]
                child_content = child.content
                if child_content.__class__ is list:
                    values = [*values, *child_content] if values else child_content[:]
                else:
                    values.append(child)
        if not values:
            return values
    return values


def get_value(parent: Value | None, key: str) -> Value | None:
    """Return the value under a key, None where it is absent or null, or `parent` no mapping."""
    if parent is None or not isinstance(parent.content, dict):
        return None
    return parent.get(key)


def read_kind(document: Document) -> str:
    """Return a document's kind, or an empty text."""
    return read_text(document.root.mapping().get("kind"))


def read_api_group(document: Document) -> str:
    """Return the API group of a document, or an empty text."""
    return read_text(document.root.mapping().get("apiVersion")).rpartition("/")[0]


def read_spec(document: Document) -> Value | None:
    """Return a document's spec, or None."""
    content = document.root.content
    spec = content.get("spec") if isinstance(content, dict) else None
    return spec if spec is not None and isinstance(spec.content, dict) else None


def locate_spec(document: Document) -> At:
    """Return where a document's spec stands (its key), or where the document begins."""
    return document.root.keys.get("spec", document.at)


def read_text(value: Value | None) -> str:
    """Return the value if it is text, else an empty string."""
    return value.content if value is not None and isinstance(value.content, str) else ""


def read_number(value: Value | None) -> int:
    """Return the value if it is a whole number, else 0."""
    content = value.content if value is not None else 0
    return content if isinstance(content, int) and not isinstance(content, bool) else 0


def read_labels(value: Value | None) -> Labels:
    """Return the labels in a mapping, none if it is no mapping; what is no text is empty."""
    content = value.content if value is not None and isinstance(value.content, dict) else {}
    return sort_labels({key: read_text(value) for key, value in content.items()})


def list_leaf_texts(value: Value, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path below a value, and the text, of each value in it that holds no others."""
    if isinstance(value.content, dict):
        for key, child in value.content.items():
            yield from list_leaf_texts(child, f"{path}.{key}" if path else key)
    elif isinstance(value.content, list):
        for index, child in enumerate(value.content):
            yield from list_leaf_texts(child, f"{path}[{index}]")
    elif value.content is not None:
        yield path, str(value.content)
