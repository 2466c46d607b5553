"""Walks a document along the shape of its kind: says what does not fit, and puts it right.

The document that is handed on reads as it was meant (a misspelt key under its right name, a key
that stands too deep where it belongs), so that later checks do not report the same defect again.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.schema import Kind, Shape
from meshproof.lint.engine.defect import Defect, Sort
from meshproof.lint.shapes.fitting import NOT_EMPTY, fits
from meshproof.lint.shapes.identity import identify
from meshproof.lint.shapes.leaves import check, mended
from meshproof.lint.shapes.unknown_key import Home, Level, find_home


def examine(document: Document) -> tuple[Document, list[Defect]]:
    """Return the document as it was meant, and what is wrong with its form."""
    found = identify(document.root)
    if found.kind is None or fits(found.root, found.kind.root):
        whole = document if found.root is document.root else Document(found.root)
        return whole, found.defects
    walk = _Walk(found.kind)
    root = walk.mapping(found.root, found.kind.root, None)
    return Document(root), [*found.defects, *walk.defects]


@dataclass
class _Walk:
    kind: Kind
    defects: list[Defect] = field(default_factory=list)
    _nulls: set[str] = field(default_factory=set)
    _done: dict[tuple[int, int], tuple[Value, Value]] = field(default_factory=dict)

    def value(self, value: Value, shape: Shape, above: Level) -> Value:
        """Return the value as it was meant; one that an alias repeats is examined once."""
        if shape.type == "text" and isinstance(value.content, str):
            return value
        known = (id(value), id(shape))
        if known not in self._done:
            self._done[known] = value, self._value(value, shape, above)
        return self._done[known][1]

    def _value(self, value: Value, shape: Shape, above: Level) -> Value:
        content = value.content
        if shape.type == "any":
            return value
        if isinstance(content, dict) and shape.type == "mapping":
            return self.mapping(value, shape, above)
        if isinstance(content, list) and shape.type == "list" and shape.each:
            each = shape.each
            self.defects += [
                Defect(Sort.WRONG_TYPE, one.at, one.path, "nothing", each.name)
                for one in content
                if one.content is None
            ]
            items = [self.value(one, each, above) for one in content if one.content is not None]
            return value if _same(items, content) else replace(value, content=items)
        if isinstance(content, str) and (shape.text or shape.old_text):
            return self._text(value, content, shape, above)
        found = check(value, shape)
        self.defects += found
        fixed = mended(value, shape) if found else value
        again = fixed is not value and shape.takes(fixed.content)
        return self._value(fixed, shape, above) if again and shape.is_composed else fixed

    def _text(self, value: Value, text: str, shape: Shape, above: Level) -> Value:
        """Return the mapping that a bare text stands for."""
        key = shape.text or shape.old_text["." in text]
        if not shape.text:
            how = f"{{{key}: {text}}}"
            self.defects.append(Defect(Sort.OLD_SPELLING, value.at, value.path, text, "", how))
        inner = Value(value.at, f"{value.path}.{key}", text)
        return self.mapping(replace(value, content={key: inner}, keys={}), shape, above)

    def mapping(self, value: Value, shape: Shape, above: Level | None) -> Value:
        """Return a mapping as it was meant."""
        level = Level(value.path, shape, {}, value.keys)
        written = value.mapping()
        unknown = [key for key in written if not (shape.each or key in shape.keys)]
        known = {key: written[key] for key in written if key not in unknown}
        level.content |= {key: one for key, one in known.items() if one.content is not None}
        for key in unknown:
            home = find_home(key, value, level.content, shape, above)
            self._move(home, key, value, level, above)
        for key, one in known.items():
            if one.content is None and key not in level.content:
                self._no_value(one, key, shape, value.keys.get(key, one.at))
        examined: set[str] = set()
        while left := [key for key in level.content if key not in examined]:
            for (
                key
            ) in left:  # a key that stands too deep comes up while its neighbours are examined
                below = shape.each or shape.keys[key]
                level.content[key] = self.value(level.content[key], below, level)
            examined.update(left)
        self._complete(value, level, _key_at(value, above))
        if level.keys is value.keys and _same(level.content.values(), written.values()):
            return value
        return replace(value, content=level.content, keys=level.keys)

    def _no_value(self, value: Value, key: str, shape: Shape, at: At) -> None:
        """Note a key of a rule that has no value; in Kubernetes' own kinds that is common."""
        if not self.kind.is_rule or not value.path.startswith("spec"):
            return
        self._nulls.add(value.path)
        if key in shape.required:
            where = value.path.rpartition(".")[0]
            self.defects.append(Defect(Sort.MISSING_KEY, at, where, key))
        else:
            sort = Sort.EMPTY_LIST if key in shape.filled else Sort.NO_VALUE
            self.defects.append(Defect(sort, at, value.path, key))

    def _move(self, home: Home, key: str, parent: Value, level: Level, above: Level | None) -> None:
        """Note an unknown key, and put its value where it was meant to be."""
        at, value = parent.keys.get(key, parent.at), parent.mapping()[key]
        self.defects.append(Defect(home.sort, at, parent.path, key, home.meant, home.how))
        target = above if home.up and above is not None else level
        if value.content is None or not home.path:
            return
        if len(home.path) == 1:
            self._put(target, home.path[0], value, at)
        else:
            _plant(target, home.path, value, at)

    def _put(self, target: Level, key: str, value: Value, at: At) -> None:
        """Put a value under the key that was meant, unless something stands there."""
        shape = target.shape.keys[key]
        fitting = value if shape.takes(value.content) else mended(value, shape)
        if not shape.takes(fitting.content):
            self._nulls.add(f"{target.path}.{key}" if target.path else key)
        elif key not in target.content:
            target.content[key] = fitting
            target.keys = {**target.keys, key: at}

    def _complete(self, value: Value, level: Level, at: At) -> None:
        """Note keys that are missing, that exclude each other, and lists that are empty."""
        shape, content = level.shape, level.content
        for key in shape.required:
            filled = key in content and (content[key].content != "" or key not in NOT_EMPTY)
            filled = filled or (key == "name" and "generateName" in content)
            path = f"{value.path}.{key}" if value.path else key
            if not filled and path not in self._nulls:
                self.defects.append(Defect(Sort.MISSING_KEY, at, value.path, key))
        for group in shape.exclusive:
            there = [key for key in group if key in content]
            if len(there) > 1:
                last = max(level.keys.get(key, value.at) for key in there)
                said = " and ".join(there)
                self.defects.append(Defect(Sort.EXCLUSIVE_KEYS, last, value.path, said))
        for key in shape.filled:
            if key in content and content[key].content == []:
                place = level.keys.get(key, value.at)
                self.defects.append(Defect(Sort.EMPTY_LIST, place, content[key].path, key))


def _same(ours: Collection[Value], theirs: Collection[Value]) -> bool:
    """Say whether nothing was put right: these are the very same values."""
    return len(ours) == len(theirs) and all(map(operator.is_, ours, theirs))


def _key_at(value: Value, above: Level | None) -> At:
    """Return where the key of a mapping stands; of a list's entry, where the entry begins."""
    head, _, key = value.path.rpartition(".")
    return above.keys.get(key, value.at) if above is not None and head == above.path else value.at


def _plant(level: Level, names: tuple[str, ...], value: Value, at: At) -> None:
    """Put a value deeper: along mappings, making those that are not there."""
    first, *rest = names
    inner = level.content.get(first)
    here = inner.content if inner is not None else {}
    if isinstance(here, list) and len(here) == 1 and isinstance(here[0].content, dict):
        below = Level("", level.shape, dict(here[0].content), dict(here[0].keys))
        _plant_one(below, tuple(rest), value, at)
        level.content[first] = replace(
            inner or value, content=[replace(here[0], content=below.content, keys=below.keys)]
        )
    elif isinstance(here, dict):
        keys = dict(inner.keys) if inner is not None else {}
        below = Level("", level.shape, dict(here), keys)
        _plant_one(below, tuple(rest), value, at)
        path = inner.path if inner is not None else f"{level.path}.{first}"
        level.content[first] = Value(value.at, path, below.content, below.keys)
        level.keys = {first: at, **level.keys}


def _plant_one(below: Level, names: tuple[str, ...], value: Value, at: At) -> None:
    if len(names) > 1:
        _plant(below, names, value, at)
    elif names[0] not in below.content:
        below.content[names[0]] = value
        below.keys = {**below.keys, names[0]: at}
