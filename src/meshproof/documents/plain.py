"""Makes documents of objects that are plain values already, as a cluster's API returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshproof.documents.manifest import At, Document, Value


def make_document(body: Mapping[str, Any], source: str) -> Document:
    """Return an object (mappings, lists and scalars) as a document.

    `source` stands for the file in messages; every value is in its first line.
    """
    return Document(_make_value(body, "", At(source, 1)))


def _make_value(content: Any, path: str, at: At) -> Value:
    """Return plain content as a value, with all that is in it."""
    if isinstance(content, Mapping):
        prefix = f"{path}." if path else ""
        values = {key: _make_value(child, f"{prefix}{key}", at) for key, child in content.items()}
        return Value(*at, path, values, dict.fromkeys(values, at))
    if isinstance(content, list | tuple):
        children = [
            _make_value(child, f"{path}[{index}]", at) for index, child in enumerate(content)
        ]
        return Value(*at, path, children)
    return Value(*at, path, content)
