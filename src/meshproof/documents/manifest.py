"""Reads YAML files into Kubernetes objects whose values know their file, line and column."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from meshproof.base.errors import BadRules
from meshproof.documents.parser import locate_byte, parse_values
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
        """The position where the document begins."""
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
        """The object's namespace, `default` if none is set."""
        namespace = self.metadata.get("namespace")
        return namespace.text() if namespace else "default"

    @cached_property
    def created(self) -> str:
        """When the object was made (RFC 3339), "" if it does not say."""
        created = self.metadata.get("creationTimestamp")
        return created.text() if created is not None and created.content is not None else ""

    @cached_property
    def spec(self) -> Value:
        """The object's spec. Raises BadRules if missing."""
        return self.root.need("spec")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name} ({self.at})"


def read(paths: Iterable[str | Path]) -> list[Document]:
    """Return the objects of YAML files and folders (`*.yaml`, `*.yml`, sorted, recursive).

    `-` is standard input. The items of a `kind: List` become objects of their own. Raises BadRules
    with file and line for invalid files, and for a path without any object: a check of nothing
    must not pass.
    """
    documents: list[Document] = []
    for path in paths:
        count_before = len(documents)
        if path == STDIN:
            documents.extend(parse(_decode(_read_stdin(), STDIN_NAME), STDIN_NAME))
        else:
            for file in _list_files(Path(path)):
                documents.extend(parse(_read_text(file), str(file)))
        if len(documents) == count_before:
            raise BadRules(f"{_describe_path(path)}: no Kubernetes objects found")
    return documents


def _describe_path(path: str | Path) -> str:
    """Return the path for a message."""
    return STDIN_NAME if path == STDIN else str(path)


def _read_stdin() -> bytes:
    """Return the bytes of standard input; b"" where there is none, as within pytest."""
    try:
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    except OSError:  # pytest's replacement, while it captures output
        return b""


def _list_files(path: Path) -> list[Path]:
    """Return the YAML files of a folder, recursively and sorted, or the file itself."""
    if path.is_dir():
        files = (*path.rglob("*.yaml"), *path.rglob("*.yml"))
        return sorted(file for file in files if file.is_file())
    return [path]


def _read_text(file: Path) -> str:
    try:
        return _decode(file.read_bytes(), str(file))
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        at = locate_byte(error.object, error.start, file)
        raise at.error(f"not a text file (byte {error.start} is not UTF-8)") from None


def parse(text: str, file: str) -> list[Document]:
    """Return the Kubernetes objects in YAML `text`; `file` is its name in messages.

    Raises BadRules with file, line and column for text that is not YAML, or not a mapping.
    """
    return [document for root in parse_values(text, file) for document in _split_list(root)]


def _split_list(root: Value) -> Iterator[Document]:
    """Yield the object, or the items of a `kind: List`; nothing for an empty document."""
    if root.content is None:
        return
    items, kind = root.get("items"), root.get("kind")
    if items is not None and kind is not None and kind.content == "List":
        for item in items.items():
            yield Document(Value(*item.at, "", item.mapping(), item.keys))
        return
    yield Document(root)
