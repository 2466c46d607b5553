"""YAML files read into values that remember their file, line and column."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from meshproof.errors import BadRules, nearest

Scalar = str | int | float | bool | None


@dataclass(frozen=True, order=True)
class At:
    """A place in a file. `line` and `column` count from 1; printed as `file:line`."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, eq=False)
class Value:
    """A YAML value and where it stands.

    `content` is a mapping of key to Value, a list of Values or a scalar; `path` is the way to it
    from the document's root (`spec.http[0].route`); `keys` has the place of every mapping key.
    """

    at: At
    path: str
    content: dict[str, Value] | list[Value] | Scalar
    keys: dict[str, At] = field(default_factory=dict)

    def error(self, expected: str) -> BadRules:
        """Return the error that says what was expected here and what stands here instead."""
        where = self.path or "the document"
        return BadRules(f"{self.at}: {where}: expected {expected}, found {self._shown()}")

    def _shown(self) -> str:
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return "a list"
        return "nothing" if self.content is None else repr(self.content)

    def get(self, key: str) -> Value | None:
        """Return the value under `key`, or None when it is absent or null."""
        found = self.mapping().get(key)
        return None if found is None or found.content is None else found

    def need(self, key: str) -> Value:
        """Return the value under `key`. Raises BadRules with the nearest key when it is missing."""
        found = self.get(key)
        if found is None:
            others = [name for name in self.mapping() if name != key]
            where = self.path or "the document"
            raise BadRules(f"{self.at}: {where}: '{key}' is missing{_instead(key, others)}")
        return found

    def mapping(self) -> dict[str, Value]:
        """Return the content as a mapping. Raises BadRules when it is something else."""
        if not isinstance(self.content, dict):
            raise self.error("a mapping")
        return self.content

    def items(self) -> list[Value]:
        """Return the content as a list. Raises BadRules when it is something else."""
        if not isinstance(self.content, list):
            raise self.error("a list")
        return self.content

    def text(self) -> str:
        """Return the content as text. Raises BadRules for anything but a YAML string."""
        if not isinstance(self.content, str):
            raise self.error("text")
        return self.content

    def integer(self, least: int, most: int) -> int:
        """Return the content as a whole number in [least, most]. Raises BadRules otherwise."""
        value = self.content
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(f"a whole number from {least} to {most}")
        return value

    def boolean(self) -> bool:
        """Return the content as true or false. Raises BadRules otherwise."""
        if not isinstance(self.content, bool):
            raise self.error("true or false")
        return self.content

    def texts(self) -> dict[str, str]:
        """Return a mapping of text to text. Raises BadRules otherwise."""
        return {key: value.text() for key, value in self.mapping().items()}

    def choice(self, *valid: str) -> str:
        """Return the content as one of `valid`. Raises BadRules with the nearest one."""
        found = self.text()
        if found not in valid:
            raise BadRules(
                f"{self.at}: {self.path}: '{found}' is not one of {', '.join(valid)}"
                f"{nearest(found, valid)}"
            )
        return found

    def allow(self, *valid: str, unsupported: Iterable[str] = ()) -> None:
        """Check the keys of a mapping: those in `valid` pass, everything else raises BadRules.

        A key in `unsupported` is a true one that meshproof cannot serve yet: it is named, since a
        rule that is half served proves nothing. An unknown key is answered with the nearest.
        """
        missing = set(unsupported)
        for key in self.mapping():
            where = f"{self.path}.{key}" if self.path else key
            if key in missing:
                raise BadRules(f"{self.keys[key]}: {where} is not supported yet")
            if key not in valid:
                raise BadRules(
                    f"{self.keys[key]}: {where}: unknown key '{key}'"
                    f"{nearest(key, [*valid, *missing])}"
                )

    def plain(self) -> Any:
        """Return the content as ordinary Python values (dict, list, scalars)."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [value.plain() for value in self.content]
        return self.content


def _instead(key: str, others: list[str]) -> str:
    hint = nearest(key, others)
    return hint.replace("did you mean", "is it written as").replace("?", "") + "?" if hint else ""


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

    A `kind: List` is taken apart. Raises BadRules with file and line for what cannot be read, and
    for a path without any object: a check over nothing must not pass.
    """
    found: list[Document] = []
    for path in map(Path, paths):
        before = len(found)
        for file in _files(path):
            found.extend(parse(_text(file), str(file)))
        if len(found) == before:
            raise BadRules(f"{path}: no Kubernetes objects found")
    return found


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*.y*ml") if file.suffix in (".yaml", ".yml"))
    return [path]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadRules(f"{file}:{line}: not a text file (byte {error.start} is not UTF-8)") from None
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None


def parse(text: str, file: str) -> list[Document]:
    """Return the Kubernetes objects in YAML `text`; `file` is its name in messages.

    Raises BadRules with file and line for anything that is no YAML or no mapping.
    """
    return [
        document
        for node in _nodes(text, file)
        for document in _objects(_value(node, file, "", {}, ()))
    ]


def _objects(root: Value) -> Iterator[Document]:
    if root.content is None:
        return
    root.mapping()
    items = root.get("items")
    kind = root.get("kind")
    if items is not None and kind is not None and kind.content == "List":
        for item in items.items():
            yield Document(Value(item.at, "", item.mapping(), item.keys))
        return
    yield Document(root)


def _nodes(text: str, file: str) -> list[yaml.Node]:
    try:
        return [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if node]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadRules(f"{place}: not readable as YAML: {said}") from None
    except (yaml.YAMLError, RecursionError) as error:
        said = str(error).splitlines()[0] if str(error) else "nested too deeply"
        raise BadRules(f"{file}: not readable as YAML: {said}") from None


def _value(
    node: yaml.Node, file: str, path: str, seen: dict[int, Value], above: tuple[int, ...]
) -> Value:
    """Turn a YAML node into a Value; an aliased node is turned once, so aliases cannot explode."""
    at = At(file, node.start_mark.line + 1, node.start_mark.column + 1)
    if id(node) in above:
        raise BadRules(f"{at}: {path}: the alias contains itself")
    if id(node) in seen:
        return seen[id(node)]
    if len(above) > sys.getrecursionlimit() // 4:
        raise BadRules(f"{at}: nested too deeply")
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        value = _mapping(node, at, path, seen, above)
    elif isinstance(node, yaml.SequenceNode):
        entries = [
            _value(item, file, f"{path}[{index}]", seen, above)
            for index, item in enumerate(node.value)
        ]
        value = Value(at, path, entries)
    else:
        value = Value(at, path, _scalar(node, at))
    seen[id(node)] = value
    return value


def _mapping(
    node: yaml.MappingNode, at: At, path: str, seen: dict[int, Value], above: tuple[int, ...]
) -> Value:
    content: dict[str, Value] = {}
    keys: dict[str, At] = {}
    for key_node, value_node in node.value:
        place = At(at.file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadRules(f"{place}: {path}: a key must be text")
        key = str(key_node.value)
        if key in content:
            raise BadRules(f"{place}: {path}: '{key}' stands twice, first in line {keys[key].line}")
        keys[key] = place
        content[key] = _value(value_node, at.file, f"{path}.{key}" if path else key, seen, above)
    return Value(at, path, content, keys)


def _scalar(node: yaml.Node, at: At) -> Scalar:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)  # type: ignore[no-untyped-call]  # untyped in PyYAML
    except (yaml.YAMLError, ValueError) as error:
        raise BadRules(f"{at}: not readable as YAML: {error}") from None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
