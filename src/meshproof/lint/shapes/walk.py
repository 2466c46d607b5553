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
from meshproof.lint.engine.defect import Defect, DefectKind
from meshproof.lint.shapes.identity import identify_document
from meshproof.lint.shapes.leaves import check_leaf, repair_value
from meshproof.lint.shapes.quick_check import NONEMPTY_TEXTS, fits_shape
from meshproof.lint.shapes.unknown_key import IntendedKey, RepairedMapping, find_intended_key


def check_document(document: Document) -> tuple[Document, list[Defect]]:
    """Return the document as it was meant, and what is wrong with its form."""
    found = identify_document(document.root)
    if found.kind is None or fits_shape(found.root, found.kind.root):
        whole = document if found.root is document.root else Document(found.root)
        return whole, found.defects
    walk = _Walk(found.kind)
    root = walk.check_mapping(found.root, found.kind.root, None)
    return Document(root), [*found.defects, *walk.defects]


@dataclass
class _Walk:
    kind: Kind
    defects: list[Defect] = field(default_factory=list)
    _paths_without_value: set[str] = field(default_factory=set)
    _checked_values: dict[tuple[int, int], tuple[Value, Value]] = field(default_factory=dict)

    def check_value(self, value: Value, shape: Shape, above: RepairedMapping) -> Value:
        """Return the value as it was meant; one that an alias repeats is examined once."""
        if shape.type == "text" and isinstance(value.content, str):
            return value
        known = (id(value), id(shape))
        if known not in self._checked_values:
            self._checked_values[known] = value, self._check_value(value, shape, above)
        return self._checked_values[known][1]

    def _check_value(self, value: Value, shape: Shape, above: RepairedMapping) -> Value:
        content = value.content
        if shape.type == "any":
            return value
        if isinstance(content, dict) and shape.type == "mapping":
            return self.check_mapping(value, shape, above)
        if isinstance(content, list) and shape.type == "list" and shape.element:
            each = shape.element
            self.defects += [
                Defect(DefectKind.WRONG_TYPE, one.at, one.path, "nothing", each.description)
                for one in content
                if one.content is None
            ]
            items = [
                self.check_value(one, each, above) for one in content if one.content is not None
            ]
            return value if _are_identical(items, content) else replace(value, content=items)
        if isinstance(content, str) and (shape.text_key or shape.old_text_keys):
            return self._expand_text(value, content, shape, above)
        found = check_leaf(value, shape)
        self.defects += found
        fixed = repair_value(value, shape) if found else value
        again = fixed is not value and shape.can_hold(fixed.content)
        return self._check_value(fixed, shape, above) if again and shape.is_container else fixed

    def _expand_text(self, value: Value, text: str, shape: Shape, above: RepairedMapping) -> Value:
        """Return the mapping that a bare text stands for."""
        key = shape.text_key or shape.old_text_keys["." in text]
        if not shape.text_key:
            how = f"{{{key}: {text}}}"
            self.defects.append(
                Defect(DefectKind.OLD_SPELLING, value.at, value.path, text, "", how)
            )
        inner = Value(value.at, f"{value.path}.{key}", text)
        return self.check_mapping(replace(value, content={key: inner}, keys={}), shape, above)

    def check_mapping(self, value: Value, shape: Shape, above: RepairedMapping | None) -> Value:
        """Return a mapping as it was meant."""
        level = RepairedMapping(value.path, shape, {}, value.keys)
        written = value.mapping()
        unknown = [key for key in written if not (shape.element or key in shape.keys)]
        known = {key: written[key] for key in written if key not in unknown}
        level.content |= {key: one for key, one in known.items() if one.content is not None}
        for key in unknown:
            home = find_intended_key(key, value, level.content, shape, above)
            self._move_unknown_key(home, key, value, level, above)
        for key, one in known.items():
            if one.content is None and key not in level.content:
                self._report_no_value(one, key, shape, value.keys.get(key, one.at))
        examined: set[str] = set()
        while left := [key for key in level.content if key not in examined]:
            for (
                key
            ) in left:  # a key that stands too deep comes up while its neighbours are examined
                below = shape.element or shape.keys[key]
                level.content[key] = self.check_value(level.content[key], below, level)
            examined.update(left)
        self._check_completeness(value, level, _locate_key(value, above))
        if level.keys is value.keys and _are_identical(level.content.values(), written.values()):
            return value
        return replace(value, content=level.content, keys=level.keys)

    def _report_no_value(self, value: Value, key: str, shape: Shape, at: At) -> None:
        """Note a key of a rule that has no value; in Kubernetes' own kinds that is common."""
        if not self.kind.is_rule or not value.path.startswith("spec"):
            return
        self._paths_without_value.add(value.path)
        if key in shape.required_keys:
            where = value.path.rpartition(".")[0]
            self.defects.append(Defect(DefectKind.MISSING_KEY, at, where, key))
        else:
            sort = DefectKind.EMPTY_LIST if key in shape.nonempty_lists else DefectKind.NO_VALUE
            self.defects.append(Defect(sort, at, value.path, key))

    def _move_unknown_key(
        self,
        home: IntendedKey,
        key: str,
        parent: Value,
        level: RepairedMapping,
        above: RepairedMapping | None,
    ) -> None:
        """Note an unknown key, and put its value where it was meant to be."""
        at, value = parent.keys.get(key, parent.at), parent.mapping()[key]
        self.defects.append(Defect(home.defect_kind, at, parent.path, key, home.name, home.repair))
        target = above if home.moves_up and above is not None else level
        if value.content is None or not home.path:
            return
        if len(home.path) == 1:
            self._put_value(target, home.path[0], value, at)
        else:
            _put_deeper(target, home.path, value, at)

    def _put_value(self, target: RepairedMapping, key: str, value: Value, at: At) -> None:
        """Put a value under the key that was meant, unless something stands there."""
        shape = target.shape.keys[key]
        fitting = value if shape.can_hold(value.content) else repair_value(value, shape)
        if not shape.can_hold(fitting.content):
            self._paths_without_value.add(f"{target.path}.{key}" if target.path else key)
        elif key not in target.content:
            target.content[key] = fitting
            target.keys = {**target.keys, key: at}

    def _check_completeness(self, value: Value, level: RepairedMapping, at: At) -> None:
        """Note keys that are missing, that exclude each other, and lists that are empty."""
        shape, content = level.shape, level.content
        for key in shape.required_keys:
            filled = key in content and (content[key].content != "" or key not in NONEMPTY_TEXTS)
            filled = filled or (key == "name" and "generateName" in content)
            path = f"{value.path}.{key}" if value.path else key
            if not filled and path not in self._paths_without_value:
                self.defects.append(Defect(DefectKind.MISSING_KEY, at, value.path, key))
        for group in shape.exclusive_keys:
            there = [key for key in group if key in content]
            if len(there) > 1:
                last = max(level.keys.get(key, value.at) for key in there)
                said = " and ".join(there)
                self.defects.append(Defect(DefectKind.EXCLUSIVE_KEYS, last, value.path, said))
        for key in shape.nonempty_lists:
            if key in content and content[key].content == []:
                place = level.keys.get(key, value.at)
                self.defects.append(Defect(DefectKind.EMPTY_LIST, place, content[key].path, key))


def _are_identical(ours: Collection[Value], theirs: Collection[Value]) -> bool:
    """Say whether nothing was put right: these are the very same values."""
    return len(ours) == len(theirs) and all(map(operator.is_, ours, theirs))


def _locate_key(value: Value, above: RepairedMapping | None) -> At:
    """Return where the key of a mapping stands; of a list's entry, where the entry begins."""
    head, _, key = value.path.rpartition(".")
    return above.keys.get(key, value.at) if above is not None and head == above.path else value.at


def _put_deeper(level: RepairedMapping, names: tuple[str, ...], value: Value, at: At) -> None:
    """Put a value deeper: along mappings, making those that are not there."""
    first, *rest = names
    inner = level.content.get(first)
    here = inner.content if inner is not None else {}
    if isinstance(here, list) and len(here) == 1 and isinstance(here[0].content, dict):
        below = RepairedMapping("", level.shape, dict(here[0].content), dict(here[0].keys))
        _put_one_level(below, tuple(rest), value, at)
        level.content[first] = replace(
            inner or value, content=[replace(here[0], content=below.content, keys=below.keys)]
        )
    elif isinstance(here, dict):
        keys = dict(inner.keys) if inner is not None else {}
        below = RepairedMapping("", level.shape, dict(here), keys)
        _put_one_level(below, tuple(rest), value, at)
        path = inner.path if inner is not None else f"{level.path}.{first}"
        level.content[first] = Value(value.at, path, below.content, below.keys)
        level.keys = {first: at, **level.keys}


def _put_one_level(below: RepairedMapping, names: tuple[str, ...], value: Value, at: At) -> None:
    if len(names) > 1:
        _put_deeper(below, names, value, at)
    elif names[0] not in below.content:
        below.content[names[0]] = value
        below.keys = {**below.keys, names[0]: at}
