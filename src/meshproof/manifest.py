"""YAML files read into values that remember their file, line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from meshproof.errors import BadRules, nearest

Scalar = str | int | float | bool | None

#: A Kubernetes object nests some 30 levels at most (a CRD's schema).
_DEEPEST = 100
#: So many values may come from aliases; ten lines of YAML can make a billion of them.
_MOST_ALIASED = 100_000
_TAG = "tag:yaml.org,2002:"
#: Plain scalars that Kubernetes takes as text, although YAML 1.1 has other ideas of some.
_MERGE = _TAG + "merge"
_TEXT = (_MERGE, *(_TAG + name for name in ("str", "timestamp", "value")))
_PLAIN = tuple(_TAG + name for name in ("bool", "int", "float", "null"))


@dataclass(frozen=True, order=True)
class At:
    """A place in a file. `line` and `column` count from 1; printed as `file:line`."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def error(self, said: str) -> BadRules:
        """Return the error about this place, as `file:line:column: said`."""
        return BadRules(f"{self.file}:{self.line}:{self.column}: {said}")


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

    @property
    def where(self) -> str:
        """The path, in words where it is empty."""
        return _where(self.path)

    def error(self, expected: str) -> BadRules:
        """Return the error that says what was expected here and what stands here instead."""
        return self.at.error(f"{self.where}: expected {expected}, found {self._shown()}")

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
        """Return the value under `key`. Raises BadRules when it is missing, naming a near key."""
        found = self.get(key)
        if found is None and key in self.mapping():
            raise self.keys[key].error(f"{self.where}: '{key}' is empty")
        if found is None:
            others = [name for name in self.mapping() if name != key]
            for near in difflib.get_close_matches(key, others, n=1, cutoff=0.7):
                raise self.keys[near].error(
                    f"{self.where}: '{key}' is missing; is '{near}' a misspelling of it?"
                )
            raise self.at.error(f"{self.where}: '{key}' is missing")
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
            raise self.at.error(
                f"{self.where}: '{found}' is not one of {', '.join(valid)}{nearest(found, valid)}"
            )
        return found

    def allow(self, *valid: str, unsupported: Iterable[str] = ()) -> None:
        """Check the keys of a mapping: those in `valid` pass, everything else raises BadRules.

        A key in `unsupported` is a true one that meshproof cannot serve yet: it is named, since a
        rule that is half served proves nothing. An unknown key is answered with the nearest.
        """
        missing = set(unsupported)
        for key in self.mapping():
            place = f"{self.path}.{key}" if self.path else key
            if key in missing:
                raise self.keys[key].error(f"{place} is not supported yet")
            if key not in valid:
                hint = nearest(key, [*valid, *missing])
                raise self.keys[key].error(f"{place}: unknown key '{key}'{hint}")

    def plain(self) -> Any:
        """Return the content as ordinary Python values (dict, list, scalars)."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [value.plain() for value in self.content]
        return self.content


def _where(path: str) -> str:
    return path or "the document"


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
        found = (*path.rglob("*.yaml"), *path.rglob("*.yml"))
        return sorted(file for file in found if file.is_file())
    return [path]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        at = _place(error.object, error.start, str(file))
        raise at.error(f"not a text file (byte {error.start} is not UTF-8)") from None
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None


def parse(text: str, file: str) -> list[Document]:
    """Return the Kubernetes objects in YAML `text`; `file` is its name in messages.

    Raises BadRules with file, line and column for anything that is no YAML or no mapping.
    """
    reader = _Reader(file)
    return [
        document for node in _nodes(text, file) for document in _objects(reader.value(node, ""))
    ]


def _objects(root: Value) -> Iterator[Document]:
    if root.content is None:
        return
    items, kind = root.get("items"), root.get("kind")
    if items is not None and kind is not None and kind.content == "List":
        for item in items.items():
            yield Document(Value(item.at, "", item.mapping(), item.keys))
        return
    yield Document(root)


def _nodes(text: str, file: str) -> list[yaml.Node]:
    try:
        _check_depth(text, file)
        return list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        at = _at(file, error.problem_mark or error.context_mark)
        if "maximum nesting" in (error.problem or ""):  # some libyaml look so far ahead themselves
            raise at.error(f"nested more than {_DEEPEST} levels deep") from None
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise at.error(f"not readable as YAML: {said}") from None
    except yaml.reader.ReaderError as error:
        at = _place(text.encode(), error.position, file)
        said = str(error).splitlines()[0]
        raise at.error(f"not readable as YAML: {said}") from None
    except UnicodeEncodeError as error:
        raise BadRules(f"{file}: not readable as YAML: {error.reason}") from None


def _at(file: str, mark: Any) -> At:
    return At(file, mark.line + 1, mark.column + 1) if mark else At(file, 1)


def _place(data: bytes, offset: int, file: str) -> At:
    before = data[:offset]
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return At(file, before.count(b"\n") + 1, column)


def _check_depth(text: str, file: str) -> None:
    """Refuse what nests too deeply, event by event: composing it would overflow the C stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            at = _at(file, event.start_mark)
            raise at.error(f"nested more than {_DEEPEST} levels deep")


class _Reader:
    """Turns the YAML nodes of one file into values.

    An aliased node is turned once. `_sizes` has, by node, how many values are reached through it.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._values: dict[yaml.Node, Value] = {}
        self._sizes: dict[yaml.Node, int] = {}
        self._above: set[yaml.Node] = set()
        self._count = 0
        self._aliased = 0
        self._scalars = yaml.SafeLoader("")

    def value(self, node: yaml.Node, path: str) -> Value:
        """Return the value of a node that stands at `path`."""
        at = _at(self._file, node.start_mark)
        if node in self._above:
            raise at.error(f"{_where(path)}: the alias contains itself")
        if node in self._values:
            return self._again(node, at, path)
        self._above.add(node)
        before = self._count
        self._count += 1
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, at, path)
        elif isinstance(node, yaml.SequenceNode):
            parts = enumerate(node.value)
            value = Value(at, path, [self.value(one, f"{path}[{index}]") for index, one in parts])
        else:
            value = Value(at, path, self._scalar(node, at, path))
        self._above.remove(node)
        self._values[node] = value
        self._sizes[node] = self._count - before
        return value

    def _again(self, node: yaml.Node, at: At, path: str) -> Value:
        """Return the value of an alias. Whoever walks all values would walk these once more."""
        self._count += self._sizes[node]
        self._aliased += self._sizes[node]
        if self._aliased > _MOST_ALIASED:
            raise at.error(f"{_where(path)}: the aliases make more than {_MOST_ALIASED} values")
        return self._values[node]

    def _mapping(self, node: yaml.MappingNode, at: At, path: str) -> Value:
        content: dict[str, Value] = {}
        keys: dict[str, At] = {}
        merged: Value | None = None
        for key_node, value_node in node.value:
            place = _at(self._file, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise place.error(f"{_where(path)}: a key must be text")
            key = str(key_node.value)
            if key in content:
                first = keys[key].line
                raise place.error(f"{_where(path)}: '{key}' stands twice, first in line {first}")
            keys[key] = place
            content[key] = self.value(value_node, f"{path}.{key}" if path else key)
            if key_node.tag == _MERGE:
                merged = content[key]
        if merged is not None:
            _merge(merged, content, keys)
        return Value(at, path, content, keys)

    def _scalar(self, node: yaml.Node, at: At, path: str) -> Scalar:
        tag, text = str(node.tag).replace(_TAG, "!!"), str(node.value)
        if node.tag in _TEXT or (
            node.tag in _PLAIN and ":" in text
        ):  # 1:30 is no number of base 60
            return text
        if node.tag not in _PLAIN:
            raise at.error(f"{_where(path)}: the tag {tag} is not supported")
        try:
            value: Scalar = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            raise at.error(f"{_where(path)}: {text[:40]!r} is not readable as {tag}") from None
        return value


def _merge(merged: Value, content: dict[str, Value], keys: dict[str, At]) -> None:
    """Put in place of `<<: *defaults` (YAML 1.1, merge key) the keys that are not there yet."""
    del content["<<"], keys["<<"]
    for one in merged.content if isinstance(merged.content, list) else [merged]:
        for key, value in one.mapping().items():
            if key not in content:
                content[key], keys[key] = value, one.keys[key]
