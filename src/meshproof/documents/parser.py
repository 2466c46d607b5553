"""Parses YAML text into values, event by event: deep nesting cannot overflow the stack."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from meshproof.base.errors import BadRules
from meshproof.documents.value import NO_KEYS, At, KeyPlaces, Scalar, Value, describe_path

#: A Kubernetes object nests some 30 levels at most (a CRD's schema).
_MAX_DEPTH = 100
#: The maximum number of values from aliases; ten lines of YAML can produce a billion.
_MAX_ALIASED = 100_000
_TAG_PREFIX = "tag:yaml.org,2002:"
_MERGE_TAG = _TAG_PREFIX + "merge"
#: Tags of plain scalars that Kubernetes reads as text; YAML 1.1 reads some of them differently.
_TEXT_TAGS = (_MERGE_TAG, *(_TAG_PREFIX + name for name in ("str", "timestamp", "value")))
_SCALAR_TAGS = tuple(_TAG_PREFIX + name for name in ("bool", "int", "float", "null"))
_NO_TAGS = (None, "!")
#: First characters of plain scalars that may be more than text.
_NON_TEXT_STARTS = frozenset(yaml.SafeLoader.yaml_implicit_resolvers)
#: Rules repeat keys, paths and names a thousand times: each text is kept once.
_intern = sys.intern
#: The positions of more keys are looked up in a dict.
_FEW_KEYS = 30
_START_EVENTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_END_EVENTS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def parse_values(text: str, file: str) -> list[Value]:
    """Return the root value of each document in YAML `text`; `file` is its name in messages.

    Raises BadRules with file, line and column for text that is not YAML, nests too deeply, repeats
    a key, has a tag that Kubernetes does not support, or has too many aliased values.
    """
    reader = _EventReader(file)
    try:
        events = iter(yaml.CSafeLoader(text).get_event, None)
        try:
            return reader.read_values(events)
        except BadRules:
            reader.check_remaining(events)  # what is no YAML at all is told first
            raise
    except yaml.MarkedYAMLError as error:
        at = _locate_mark(file, error.problem_mark or error.context_mark)
        if "maximum nesting" in (error.problem or ""):  # some libyaml look so far ahead themselves
            raise _too_deep_error(at) from None
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise at.error(f"not readable as YAML: {message}") from None
    except yaml.reader.ReaderError as error:
        at = locate_byte(text.encode(), error.position, file)
        message = str(error).splitlines()[0]
        raise at.error(f"not readable as YAML: {message}") from None
    except UnicodeEncodeError as error:
        raise BadRules(f"{file}: not readable as YAML: {error.reason}") from None


def locate_byte(encoded: bytes, offset: int, file: str) -> At:
    """Return the position of a byte, given by its offset."""
    preceding = encoded[:offset]
    column = len(preceding[preceding.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return At(file, preceding.count(b"\n") + 1, column)


def _locate_mark(file: str, mark: Any) -> At:
    """Return the position of PyYAML's mark, the beginning of the file without one."""
    return At(file, mark.line + 1, mark.column + 1) if mark else At(file, 1)


def _too_deep_error(at: At) -> BadRules:
    """Return the error for a value that nests too deeply."""
    return at.error(f"nested more than {_MAX_DEPTH} levels deep")


@dataclass(eq=False, slots=True)
class _OpenCollection:
    """A mapping (`pairs`) or a list (`items`) that is still open.

    `key` is the key that waits for its value. `key_places` has each key with its line and column,
    one after the other. `count_before` is the number of values at the start.
    `has_merge_key` is true for a mapping with a merge key.
    """

    value: Value
    pairs: dict[str, Value] | None
    items: list[Value]
    anchor: str | None
    count_before: int
    key_places: list[Any]
    key: str | None = None
    has_merge_key: bool = False


class _EventReader:
    """Turns the YAML events of one file into values.

    An anchored value is made once. `_sizes` counts the values below each anchor; an anchor that is
    still open has none. `_scalars` are the events of anchored scalars: an alias may be a key.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        #: Open collections, the innermost last. The outermost is the file, a list of documents.
        self._open_collections = [
            _OpenCollection(Value(file, 1, 1, "", "", None), None, [], None, 0, [])
        ]
        self._value_count = 0
        self._aliased_count = 0
        self._values: dict[str, Value] = {}
        self._sizes: dict[str, int] = {}
        self._scalars: dict[str, Any] = {}
        #: The content of plain scalars without a tag, by their text.
        self._plain_scalars: dict[str, Scalar] = {}
        self._loader: Any = yaml.SafeLoader("")
        self._line = 1  # the number of the last line, one object for all values in it

    def check_remaining(self, events: Iterator[Any]) -> None:
        """Read to the end. Raises for text that is not YAML, or nests too deeply."""
        depth = len(self._open_collections) - 1
        for event in events:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise _too_deep_error(_locate_mark(self._file, event.start_mark))

    def read_values(self, events: Iterator[Any]) -> list[Value]:
        """Return the root value of each document."""
        top = self._open_collections[0]
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                value = self._read_scalar(event, top)
            elif kind in _START_EVENTS:
                top = self._open_collection(event, top)
                continue
            elif kind in _END_EVENTS:
                value = self._close_collection()
                top = self._open_collections[-1]
            elif kind is yaml.AliasEvent:
                value = self._read_alias(event, top)
            else:
                self._scalars, self._values, self._sizes = {}, {}, {}
                continue
            if value is None:
                continue
            if top.pairs is None:
                top.items.append(value)
            elif top.key is not None:
                top.pairs[top.key] = value
                top.key = None
        return top.items

    def _next_path(self, top: _OpenCollection) -> str:
        """Return the path of the next value."""
        above, key = top.value.path, top.key
        if key is not None:
            return _intern(f"{above}.{key}") if above else key
        return _intern(f"{above}[{len(top.items)}]") if len(self._open_collections) > 1 else ""

    def _count_line(self, mark: Any) -> int:
        """Return the number of the line of an event's mark."""
        line: int = mark.line + 1
        if line != self._line:
            self._line = line
        return self._line

    def _read_scalar(self, event: Any, top: _OpenCollection) -> Value | None:
        """Return the value of a scalar. A key is stored and gives None."""
        mark, text = event.start_mark, event.value
        if event.anchor is not None:
            self._check_anchor(event)
            self._scalars[event.anchor] = event
        if top.key is None and top.pairs is not None:
            self._add_key(top, event)
            return None
        path = self._next_path(top)
        if event.implicit[0] and text in self._plain_scalars:
            content = self._plain_scalars[text]
        else:
            content = self._parse_content(event, path)
        value = Value(
            self._file, self._count_line(mark), mark.column + 1, "", path, content, NO_KEYS
        )
        self._value_count += 1
        if event.anchor is not None:
            self._values[event.anchor], self._sizes[event.anchor] = value, 1
        return value

    def _add_key(self, top: _OpenCollection, event: Any) -> None:
        """Add a key to a mapping. Raises BadRules for a repeated key."""
        key, mark = _intern(event.value), event.start_mark
        if top.pairs is not None and key in top.pairs:
            first = top.key_places[top.key_places.index(key) + 1]
            message = f"{top.value.described_path}: '{key}' stands twice, first in line {first}"
            raise _locate_mark(self._file, mark).error(message)
        top.key_places += (key, self._count_line(mark), mark.column + 1)
        top.key = key
        if key == "<<":
            top.has_merge_key = self._find_tag(event) == _MERGE_TAG

    def _open_collection(self, event: Any, top: _OpenCollection) -> _OpenCollection:
        """Open a mapping or a list."""
        mark, open_collections = event.start_mark, self._open_collections
        if len(open_collections) > _MAX_DEPTH:
            raise _too_deep_error(_locate_mark(self._file, mark))
        if top.key is None and top.pairs is not None:
            message = f"{top.value.described_path}: a key must be text"
            raise _locate_mark(self._file, mark).error(message)
        items: list[Value] = []
        pairs: dict[str, Value] | None = {} if type(event) is yaml.MappingStartEvent else None
        content: Any = items if pairs is None else pairs
        path, line = self._next_path(top), self._count_line(mark)
        value = Value(self._file, line, mark.column + 1, "", path, content, NO_KEYS)
        if event.anchor is not None:
            self._check_anchor(event)
            self._values[event.anchor] = value
        collection = _OpenCollection(value, pairs, items, event.anchor, self._value_count, [])
        open_collections.append(collection)
        self._value_count += 1
        return collection

    def _close_collection(self) -> Value:
        """Close a mapping or a list, and return it."""
        collection = self._open_collections.pop()
        if collection.key_places:
            collection.value.keys = self._keep_keys(collection.key_places)
        if collection.has_merge_key and collection.pairs is not None:
            keys = dict(collection.value.keys)
            _apply_merge_key(collection.pairs["<<"], collection.pairs, keys)
            collection.value.keys = keys
        if collection.anchor is not None:
            self._sizes[collection.anchor] = self._value_count - collection.count_before
        return collection.value

    def _keep_keys(self, key_places: list[Any]) -> Mapping[str, At]:
        """Return the position of each key."""
        if len(key_places) <= 3 * _FEW_KEYS:
            return KeyPlaces((self._file, *key_places))
        parts = iter(key_places)
        triples = zip(parts, parts, parts, strict=True)
        return {key: At(self._file, line, column) for key, line, column in triples}

    def _check_anchor(self, event: Any) -> None:
        """Raise ComposerError for an anchor that the document has already."""
        if event.anchor in self._scalars or event.anchor in self._values:
            raise yaml.composer.ComposerError(
                "found duplicate anchor; first occurrence",
                None,
                "second occurrence",
                event.start_mark,
            )

    def _read_alias(self, event: Any, top: _OpenCollection) -> Value | None:
        """Return the value of an alias. An alias as a key is stored and gives None."""
        name = event.anchor
        if name not in self._scalars and name not in self._values:
            raise yaml.composer.ComposerError(None, None, "found undefined alias", event.start_mark)
        if top.key is not None or top.pairs is None:
            return self._resolve_alias(name, self._next_path(top))
        if name not in self._scalars:
            raise self._values[name].at.error("a key must be text", path=top.value.path)
        scalar = self._scalars[name]
        self._add_key(top, scalar)
        return None

    def _resolve_alias(self, name: str, path: str) -> Value:
        """Return the value of an anchor, and count its values once more.

        Raises BadRules for an alias inside its own anchor, and for too many aliased values.
        """
        if name not in self._values:  # the anchor is that of a key
            scalar = self._scalars[name]
            at = _locate_mark(self._file, scalar.start_mark)
            self._values[name] = Value(*at, path, self._parse_content(scalar, path))
            self._sizes[name] = 1
        value = self._values[name]
        if name not in self._sizes:
            raise value.at.error(f"{describe_path(path)}: the alias contains itself")
        self._value_count += self._sizes[name]
        self._aliased_count += self._sizes[name]
        if self._aliased_count > _MAX_ALIASED:
            message = f"{describe_path(path)}: the aliases make more than {_MAX_ALIASED} values"
            raise value.at.error(message)
        return value

    def _find_tag(self, event: Any) -> str:
        """Return the tag of a scalar, resolved as in YAML 1.1 if it has none."""
        if event.tag not in _NO_TAGS:
            return str(event.tag)
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _parse_content(self, event: Any, path: str) -> Scalar:
        """Return the content of a scalar. Raises BadRules for an unsupported tag."""
        text: str = event.value
        if event.tag is None and text[:1] not in _NON_TEXT_STARTS:
            return _intern(text)
        tag = self._find_tag(event)
        if tag in _TEXT_TAGS or (
            tag in _SCALAR_TAGS and ":" in text
        ):  # 1:30 is no number of base 60
            content: Scalar = text
        elif tag not in _SCALAR_TAGS:
            tag_name = tag.replace(_TAG_PREFIX, "!!")
            at = _locate_mark(self._file, event.start_mark)
            raise at.error(f"{describe_path(path)}: the tag {tag_name} is not supported")
        else:
            try:
                content = self._loader.construct_object(yaml.ScalarNode(tag, text))
            except (yaml.YAMLError, ValueError, LookupError):
                tag_name = tag.replace(_TAG_PREFIX, "!!")
                raise _locate_mark(self._file, event.start_mark).error(
                    f"{describe_path(path)}: {text[:40]!r} is not readable as {tag_name}"
                ) from None
        if isinstance(content, (int, float)) and not abs(content) <= sys.float_info.max:
            raise _locate_mark(self._file, event.start_mark).error(
                f"{describe_path(path)}: {text[:40]!r} is no number that Kubernetes takes"
            )
        if event.implicit[0]:
            self._plain_scalars[text] = content
        return content


def _apply_merge_key(merged: Value, content: dict[str, Value], keys: dict[str, At]) -> None:
    """Replace `<<: *defaults` (YAML 1.1, merge key) by the keys that the mapping lacks."""
    del content["<<"], keys["<<"]
    for mapping in merged.content if isinstance(merged.content, list) else [merged]:
        for key, value in mapping.mapping().items():
            if key not in content:
                content[key], keys[key] = value, mapping.keys[key]
