"""Turns YAML text into values, event by event: nothing in it can overflow a stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from meshproof.base.errors import BadRules
from meshproof.documents.value import At, Scalar, Value, where

#: A Kubernetes object nests some 30 levels at most (a CRD's schema).
_DEEPEST = 100
#: So many values may come from aliases; ten lines of YAML can make a billion of them.
_MOST_ALIASED = 100_000
_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
#: Plain scalars that Kubernetes takes as text, although YAML 1.1 has other ideas of some.
_TEXT = (_MERGE, *(_TAG + name for name in ("str", "timestamp", "value")))
_PLAIN = tuple(_TAG + name for name in ("bool", "int", "float", "null"))
_UNTAGGED = (None, "!")
#: What a plain scalar begins with that may be more than text.
_TELLING = frozenset(yaml.SafeLoader.yaml_implicit_resolvers)
#: A place is made as At(...) makes it, in half the time.
_new = tuple.__new__
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def roots(text: str, file: str) -> list[Value]:
    """Return the value of every document in YAML `text`; `file` is its name in messages.

    Raises BadRules with file, line and column for what is no YAML, nests too deeply, repeats a key,
    has a tag that Kubernetes does not know, or makes too much out of aliases.
    """
    reader = _Reader(file)
    try:
        events = iter(yaml.CSafeLoader(text).get_event, None)
        try:
            return reader.documents(events)
        except BadRules:
            reader.check_rest(events)  # what is no YAML at all is told first
            raise
    except yaml.MarkedYAMLError as error:
        at = _at(file, error.problem_mark or error.context_mark)
        if "maximum nesting" in (error.problem or ""):  # some libyaml look so far ahead themselves
            raise _too_deep(at) from None
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise at.error(f"not readable as YAML: {said}") from None
    except yaml.reader.ReaderError as error:
        at = place(text.encode(), error.position, file)
        said = str(error).splitlines()[0]
        raise at.error(f"not readable as YAML: {said}") from None
    except UnicodeEncodeError as error:
        raise BadRules(f"{file}: not readable as YAML: {error.reason}") from None


def place(data: bytes, offset: int, file: str) -> At:
    """Return the line and column of a byte."""
    before = data[:offset]
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return At(file, before.count(b"\n") + 1, column)


def _at(file: str, mark: Any) -> At:
    return At(file, mark.line + 1, mark.column + 1) if mark else At(file, 1)


def _too_deep(at: At) -> BadRules:
    return at.error(f"nested more than {_DEEPEST} levels deep")


@dataclass(eq=False, slots=True)
class _Open:
    """A mapping (`pairs`) or a list (`items`) whose end has not come yet.

    `key` is the one that waits for its value; `before` is how many values there were at the start.
    """

    value: Value
    pairs: dict[str, Value] | None
    items: list[Value]
    anchor: str | None
    before: int
    key: str | None = None
    merges: bool = False


class _Reader:
    """Turns the events of one file into values.

    An anchored value is made once. `_sizes` has, by anchor, how many values are reached through it;
    none yet while it is open. `_scalars` has the events of anchored scalars: an alias may be a key.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        #: What is open, the innermost last; the outermost stands for the file, a list of documents.
        self._open = [_Open(Value(At(file, 1), "", None), None, [], None, 0)]
        self._count = 0
        self._aliased = 0
        self._values: dict[str, Value] = {}
        self._sizes: dict[str, int] = {}
        self._scalars: dict[str, Any] = {}
        #: What a plain scalar without a tag is, by its text.
        self._plain: dict[str, Scalar] = {}
        self._loader: Any = yaml.SafeLoader("")

    def check_rest(self, events: Iterator[Any]) -> None:
        """Read on to the end, only to see whether it is YAML, and not too deep."""
        depth = len(self._open) - 1
        for event in events:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                raise _too_deep(_at(self._file, event.start_mark))

    def documents(self, events: Iterator[Any]) -> list[Value]:
        """Return the root of every document."""
        top = self._open[0]
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                value = self._scalar(event, top)
            elif kind in _STARTS:
                top = self._begin(event, top)
                continue
            elif kind in _ENDS:
                value = self._end()
                top = self._open[-1]
            elif kind is yaml.AliasEvent:
                value = self._alias(event, top)
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

    def _path(self, top: _Open) -> str:
        """Return the path of the value that comes next."""
        above, key = top.value.path, top.key
        if key is not None:
            return f"{above}.{key}" if above else key
        return f"{above}[{len(top.items)}]" if len(self._open) > 1 else ""

    def _scalar(self, event: Any, top: _Open) -> Value | None:
        """Return the value of a scalar; None for a key, which is noted."""
        mark, text = event.start_mark, event.value
        at = _new(At, (self._file, mark.line + 1, mark.column + 1))
        if event.anchor is not None:
            self._name(event)
            self._scalars[event.anchor] = event
        if top.key is None and top.pairs is not None:
            self._key(top, event, at)
            return None
        path = self._path(top)
        if event.implicit[0] and text in self._plain:
            value = Value(at, path, self._plain[text], {})
        else:
            value = Value(at, path, self._content(event, at, path), {})
        self._count += 1
        if event.anchor is not None:
            self._values[event.anchor], self._sizes[event.anchor] = value, 1
        return value

    def _key(self, top: _Open, event: Any, at: At) -> None:
        """Note a key. Raises BadRules for one that is there already."""
        key: str = event.value
        keys = top.value.keys
        if key in keys:
            first = keys[key].line
            said = f"{top.value.where}: '{key}' stands twice, first in line {first}"
            raise at.error(said)
        keys[key] = at
        top.key = key
        if key == "<<":
            top.merges = self._tag(event) == _MERGE

    def _begin(self, event: Any, top: _Open) -> _Open:
        """Open a mapping or a list."""
        mark, opened = event.start_mark, self._open
        at = _new(At, (self._file, mark.line + 1, mark.column + 1))
        if len(opened) > _DEEPEST:
            raise _too_deep(at)
        if top.key is None and top.pairs is not None:
            raise at.error(f"{top.value.where}: a key must be text")
        items: list[Value] = []
        pairs: dict[str, Value] | None = {} if type(event) is yaml.MappingStartEvent else None
        value = Value(at, self._path(top), items if pairs is None else pairs, {})
        if event.anchor is not None:
            self._name(event)
            self._values[event.anchor] = value
        begun = _Open(value, pairs, items, event.anchor, self._count)
        opened.append(begun)
        self._count += 1
        return begun

    def _end(self) -> Value:
        """Close a mapping or a list, and return it."""
        done = self._open.pop()
        if done.merges and done.pairs is not None:
            _merge(done.pairs["<<"], done.pairs, done.value.keys)
        if done.anchor is not None:
            self._sizes[done.anchor] = self._count - done.before
        return done.value

    def _name(self, event: Any) -> None:
        """Look at an anchor. Raises ComposerError for one that the document has already."""
        if event.anchor in self._scalars or event.anchor in self._values:
            raise yaml.composer.ComposerError(
                "found duplicate anchor; first occurrence",
                None,
                "second occurrence",
                event.start_mark,
            )

    def _alias(self, event: Any, top: _Open) -> Value | None:
        """Return the value that an alias names; None where it stands for a key, which is noted."""
        name = event.anchor
        if name not in self._scalars and name not in self._values:
            raise yaml.composer.ComposerError(None, None, "found undefined alias", event.start_mark)
        if top.key is not None or top.pairs is None:
            return self._again(name, self._path(top))
        if name not in self._scalars:
            raise self._values[name].at.error(f"{top.value.where}: a key must be text")
        scalar = self._scalars[name]
        self._key(top, scalar, _at(self._file, scalar.start_mark))
        return None

    def _again(self, name: str, path: str) -> Value:
        """Return the value of an anchor. Whoever walks all values walks it once more."""
        if name not in self._values:  # the anchor is that of a key
            scalar = self._scalars[name]
            at = _at(self._file, scalar.start_mark)
            self._values[name] = Value(at, path, self._content(scalar, at, path), {})
            self._sizes[name] = 1
        value = self._values[name]
        if name not in self._sizes:
            raise value.at.error(f"{where(path)}: the alias contains itself")
        self._count += self._sizes[name]
        self._aliased += self._sizes[name]
        if self._aliased > _MOST_ALIASED:
            said = f"{where(path)}: the aliases make more than {_MOST_ALIASED} values"
            raise value.at.error(said)
        return value

    def _tag(self, event: Any) -> str:
        """Return the tag of a scalar, as YAML 1.1 finds it for one that has none."""
        if event.tag not in _UNTAGGED:
            return str(event.tag)
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _content(self, event: Any, at: At, path: str) -> Scalar:
        """Return what a scalar stands for. Raises BadRules for a tag that it cannot have."""
        text: str = event.value
        if event.tag is None and text[:1] not in _TELLING:
            return text
        tag = self._tag(event)
        if tag in _TEXT or (tag in _PLAIN and ":" in text):  # 1:30 is no number of base 60
            found: Scalar = text
        elif tag not in _PLAIN:
            said = tag.replace(_TAG, "!!")
            raise at.error(f"{where(path)}: the tag {said} is not supported")
        else:
            try:
                found = self._loader.construct_object(yaml.ScalarNode(tag, text))
            except (yaml.YAMLError, ValueError, LookupError):
                said = tag.replace(_TAG, "!!")
                raise at.error(f"{where(path)}: {text[:40]!r} is not readable as {said}") from None
        if event.implicit[0]:
            self._plain[text] = found
        return found


def _merge(merged: Value, content: dict[str, Value], keys: dict[str, At]) -> None:
    """Put in place of `<<: *defaults` (YAML 1.1, merge key) the keys that are not there yet."""
    del content["<<"], keys["<<"]
    for one in merged.content if isinstance(merged.content, list) else [merged]:
        for key, value in one.mapping().items():
            if key not in content:
                content[key], keys[key] = value, one.keys[key]
