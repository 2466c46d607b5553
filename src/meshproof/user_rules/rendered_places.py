"""Finds where rendered objects come from, and gives them the places of their sources."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.lookup import find_values, read_text
from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.sources import SourceFiles

_ORIGIN = "config.kubernetes.io/origin"
_ORIGIN_PATH = re.compile(r"^path: (.+)$", re.M)
_HELM_SOURCE = re.compile(r"^# Source: [^/\n]+/(.+)$", re.M)


@dataclass(frozen=True)
class Source:
    """Where a rendered object comes from: its place, and the object there if it is YAML."""

    at: At
    document: Document | None = None


def find_kustomize_sources(
    documents: Sequence[Document], folder: Path, files: SourceFiles
) -> list[Source | None]:
    """Return the source of each object that kustomize printed for a kustomization in `folder`."""
    names = {os.path.realpath(name): name for name in files.texts}
    return [_find_kustomize_source(document, folder, names, files) for document in documents]


def _find_kustomize_source(
    document: Document, folder: Path, names: dict[str, str], files: SourceFiles
) -> Source | None:
    """Return the source that an object's annotation names; None if there is none."""
    annotations = find_values(document.root, "metadata", "annotations", _ORIGIN)
    match = _ORIGIN_PATH.search(read_text(annotations[0]) if annotations else "")
    if match is None:
        return None
    path = os.path.realpath(folder / match[1].strip())
    name = names.get(path) or os.path.relpath(path)
    read_here = [read for read in files.documents if read.at.file == name and not read.at.origin]
    candidates = read_here or _read(path, name)
    same_kind = [read for read in candidates if _read_kind(read) == _read_kind(document)]
    own_name = _read_name(document)
    for source in same_kind:
        if _read_name(source) and _read_name(source) in own_name:
            return Source(source.at, source)
    return Source(At(name, 1))


def find_chart_sources(
    documents: Sequence[Document], text: str, folder: str, files: SourceFiles
) -> list[Source | None]:
    """Return the template of each object that helm printed as `text` for a chart in `folder`."""
    lines = [
        (text.count("\n", 0, match.start()) + 1, match[1]) for match in _HELM_SOURCE.finditer(text)
    ]
    return [_find_template(document, lines, folder, files) for document in documents]


def _find_template(
    document: Document, lines: list[tuple[int, str]], folder: str, files: SourceFiles
) -> Source | None:
    """Return the template that the comment above an object names, at the object's kind."""
    path = next((path for line, path in reversed(lines) if line <= document.at.line), "")
    if not path:
        return None
    name = os.path.normpath(os.path.join(folder, path.strip()))
    kind = re.compile(rf"^[ \t]*kind:[ \t]*[\"']?{re.escape(_read_kind(document))}\b", re.M)
    text = files.texts.get(name, "")
    match = kind.search(text)
    return Source(At(name, text.count("\n", 0, match.start()) + 1 if match else 1))


def _read(path: str, name: str) -> list[Document]:
    """Return the objects of a file outside of what was read; none if it cannot be read."""
    with suppress(BadRules, OSError, UnicodeDecodeError):
        return manifest.parse(Path(path).read_text(encoding="utf-8"), name)
    return []


def _read_kind(document: Document) -> str:
    return read_text(document.root.mapping().get("kind"))


def _read_name(document: Document) -> str:
    return read_text(next(iter(find_values(document.root, "metadata", "name")), None))


def move(
    documents: Sequence[Document], sources: Sequence[Source | None], file: str
) -> list[Document]:
    """Return rendered objects with the places of their sources; without one, that of `file`."""
    moved = []
    for number, (document, source) in enumerate(zip(documents, sources, strict=True)):
        at = source.at if source else At(file, 1)
        origin = f"{file}#{number}"
        root = _move(
            document.root, source.document.root if source and source.document else None, at, origin
        )
        moved.append(Document(_remove_origin(root)))
    return moved


def _move(rendered: Value, source: Value | None, at: At, origin: str) -> Value:
    """Return a rendered value with the place of its source; `at` is the nearest place above."""
    place = (source.at if source else at)._replace(origin=origin)
    content = rendered.content
    if isinstance(content, dict):
        children = source.content if source and isinstance(source.content, dict) else {}
        content = {
            key: _move(value, children.get(key), place, origin) for key, value in content.items()
        }
    elif isinstance(content, list):
        items = source.content if source and isinstance(source.content, list) else []
        content = [
            _move(value, items[index] if index < len(items) else None, place, origin)
            for index, value in enumerate(content)
        ]
    keys = {
        key: (source.keys.get(key, place) if source else place)._replace(origin=origin)
        for key in rendered.keys
    }
    return Value(*place, rendered.path, content, keys)


def _remove_origin(root: Value) -> Value:
    """Return an object without the annotation that only its place was taken from."""
    for holder in find_values(root, "metadata", "annotations"):
        if isinstance(holder.content, dict):
            holder.content.pop(_ORIGIN, None)
    return root
