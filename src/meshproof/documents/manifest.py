"""YAML files read into Kubernetes objects whose values remember their file, line and column."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from meshproof.base.errors import BadRules
from meshproof.documents.parser import place, roots
from meshproof.documents.value import At, Scalar, Value

#: The path that stands for standard input, and its name in messages.
STDIN = "-"
STDIN_NAME = "<stdin>"

__all__ = ["At", "Document", "Scalar", "Value", "parse", "read"]


@dataclass(frozen=True, eq=False)
class Document:
    """One Kubernetes object of a file: its type, its name and its values."""

    root: Value

    @property
    def at(self) -> At:
        """Where the document begins."""
        return self.root.at

    @cached_property
    def api_version(self) -> str:
        """The object's apiVersion, e.g. `networking.istio.io/v1`. Raises BadRules if missing."""
        return self.root.need("apiVersion").text()

    @cached_property
    def kind(self) -> str:
        """The object's kind, e.g. `VirtualService`. Raises BadRules if missing."""
        return self.root.need("kind").text()

    @cached_property
    def group(self) -> str:
        """The API group: the part of apiVersion before the slash, empty for core objects."""
        return self.api_version.rpartition("/")[0]

    @cached_property
    def metadata(self) -> Value:
        """The object's metadata. Raises BadRules if missing."""
        return self.root.need("metadata")

    @cached_property
    def name(self) -> str:
        """The object's name. Raises BadRules if missing."""
        return self.metadata.need("name").text()

    @cached_property
    def namespace(self) -> str:
        """The object's namespace, `default` where none is written."""
        found = self.metadata.get("namespace")
        return found.text() if found else "default"

    @cached_property
    def spec(self) -> Value:
        """The object's spec. Raises BadRules if missing."""
        return self.root.need("spec")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name} ({self.at})"


def read(paths: Iterable[str | Path]) -> list[Document]:
    """Return the objects of YAML files and folders (`*.yaml`, `*.yml`, sorted, recursive).

    `-` is standard input. A `kind: List` is taken apart. Raises BadRules with file and line for
    what cannot be read, and for a path without any object: a check over nothing must not pass.
    """
    found: list[Document] = []
    for path in paths:
        before = len(found)
        if path == STDIN:
            found.extend(parse(_decoded(_stdin(), STDIN_NAME), STDIN_NAME))
        else:
            for file in _files(Path(path)):
                found.extend(parse(_text(file), str(file)))
        if len(found) == before:
            raise BadRules(f"{_shown(path)}: no Kubernetes objects found")
    return found


def _shown(path: str | Path) -> str:
    return STDIN_NAME if path == STDIN else str(path)


def _stdin() -> bytes:
    """Return what stands on standard input; nothing where there is none, as within pytest."""
    try:
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    except OSError:  # pytest's own, while it captures
        return b""


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = (*path.rglob("*.yaml"), *path.rglob("*.yml"))
        return sorted(file for file in found if file.is_file())
    return [path]


def _text(file: Path) -> str:
    try:
        return _decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        at = place(error.object, error.start, file)
        raise at.error(f"not a text file (byte {error.start} is not UTF-8)") from None


def parse(text: str, file: str) -> list[Document]:
    """Return the Kubernetes objects in YAML `text`; `file` is its name in messages.

    Raises BadRules with file, line and column for anything that is no YAML or no mapping.
    """
    return [document for root in roots(text, file) for document in _objects(root)]


def _objects(root: Value) -> Iterator[Document]:
    if root.content is None:
        return
    items, kind = root.get("items"), root.get("kind")
    if items is not None and kind is not None and kind.content == "List":
        for item in items.items():
            yield Document(Value(item.at, "", item.mapping(), item.keys))
        return
    yield Document(root)
