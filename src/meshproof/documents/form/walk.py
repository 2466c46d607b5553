"""Walks a document along the shape of its kind: reports what does not fit, and repairs it.

The document that is passed on reads as intended: a misspelt key has its right name, a key at the
wrong depth is where it belongs. So later checks do not report the same defect again.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.documents.form.identity import identify_document
from meshproof.documents.form.leaves import check_leaf, repair_value
from meshproof.documents.form.quick_check import NONEMPTY_TEXTS, fits_shape
from meshproof.documents.form.unknown_key import IntendedKey, RepairedMapping, find_intended_key
from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.schema import Kind, Shape


def check_document(document: Document) -> tuple[Document, list[Defect]]:
    """Return the document as intended, and its defects."""
    identity = identify_document(document.root)
    if identity.kind is None or fits_shape(identity.root, identity.kind.root):
        repaired_document = document if identity.root is document.root else Document(identity.root)
        return repaired_document, identity.defects
    walk = _Walk(identity.kind)
    root = walk.check_mapping(identity.root, identity.kind.root, None)
    return Document(root), [*identity.defects, *walk.defects]


@dataclass
class _Walk:
    """One walk over a document: collects defects and returns repaired values."""

    kind: Kind
    defects: list[Defect] = field(default_factory=list)
    _paths_without_value: set[str] = field(default_factory=set)
    _checked_values: dict[tuple[int, int], tuple[Value, Value]] = field(default_factory=dict)

    def check_value(self, value: Value, shape: Shape, above: RepairedMapping) -> Value:
        """Return the value as intended. One that aliases repeat is checked once."""
        if shape.type == "text" and isinstance(value.content, str):
            return value
        cache_key = (id(value), id(shape))
        if cache_key not in self._checked_values:
            self._checked_values[cache_key] = value, self._check_value(value, shape, above)
        return self._checked_values[cache_key][1]

    def _check_value(self, value: Value, shape: Shape, above: RepairedMapping) -> Value:
        """Check a value that was not checked before."""
        content = value.content
        if shape.type == "any":
            return value
        if isinstance(content, dict) and shape.type == "mapping":
            return self.check_mapping(value, shape, above)
        if isinstance(content, list) and shape.type == "list" and shape.element:
            element = shape.element
            self.defects += [
                Defect(DefectKind.WRONG_TYPE, entry.at, entry.path, "nothing", element.description)
                for entry in content
                if entry.content is None
            ]
            entries = [
                self.check_value(entry, element, above)
                for entry in content
                if entry.content is not None
            ]
            return value if _are_identical(entries, content) else replace(value, content=entries)
        if isinstance(content, str) and (shape.text_key or shape.old_text_keys):
            return self._expand_text(value, content, shape, above)
        defects = check_leaf(value, shape)
        self.defects += defects
        repaired = repair_value(value, shape) if defects else value
        is_repaired = repaired is not value and shape.can_hold(repaired.content)
        return (
            self._check_value(repaired, shape, above)
            if is_repaired and shape.is_container
            else repaired
        )

    def _expand_text(self, value: Value, text: str, shape: Shape, above: RepairedMapping) -> Value:
        """Return the mapping that a bare text stands for."""
        key = shape.text_key or shape.old_text_keys["." in text]
        if not shape.text_key:
            repair = f"{{{key}: {text}}}"
            self.defects.append(
                Defect(DefectKind.OLD_SPELLING, value.at, value.path, text, "", repair)
            )
        inner_value = Value(*value.at, f"{value.path}.{key}", text)
        return self.check_mapping(replace(value, content={key: inner_value}, keys={}), shape, above)

    def check_mapping(self, value: Value, shape: Shape, above: RepairedMapping | None) -> Value:
        """Return a mapping as intended."""
        level = RepairedMapping(value.path, shape, {}, value.keys)
        content = value.mapping()
        unknown_keys = [key for key in content if not (shape.element or key in shape.keys)]
        known_values = {key: content[key] for key in content if key not in unknown_keys}
        level.content |= {
            key: child for key, child in known_values.items() if child.content is not None
        }
        for key in unknown_keys:
            intended_key = find_intended_key(key, value, level.content, shape, above)
            self._move_unknown_key(intended_key, key, value, level, above)
        for key, child in known_values.items():
            if child.content is None and key not in level.content:
                self._report_no_value(child, key, shape, value.keys.get(key, child.at))
        checked_keys: set[str] = set()
        while remaining_keys := [key for key in level.content if key not in checked_keys]:
            for key in (
                remaining_keys
            ):  # a key that stands too deep comes up while its neighbours are examined
                child_shape = shape.element or shape.keys[key]
                level.content[key] = self.check_value(level.content[key], child_shape, level)
            checked_keys.update(remaining_keys)
        self._check_completeness(value, level, _locate_key(value, above))
        if level.keys is value.keys and _are_identical(level.content.values(), content.values()):
            return value
        return replace(value, content=level.content, keys=level.keys)

    def _report_no_value(self, value: Value, key: str, shape: Shape, at: At) -> None:
        """Report a key of a rule without a value. In Kubernetes' own kinds it is common."""
        if not self.kind.is_rule or not value.path.startswith("spec"):
            return
        self._paths_without_value.add(value.path)
        if key in shape.required_keys:
            parent_path = value.path.rpartition(".")[0]
            self.defects.append(Defect(DefectKind.MISSING_KEY, at, parent_path, key))
        else:
            kind = DefectKind.EMPTY_LIST if key in shape.nonempty_lists else DefectKind.NO_VALUE
            self.defects.append(Defect(kind, at, value.path, key))

    def _move_unknown_key(
        self,
        intended_key: IntendedKey,
        key: str,
        parent: Value,
        level: RepairedMapping,
        above: RepairedMapping | None,
    ) -> None:
        """Report an unknown key, and put its value where it belongs."""
        at, value = parent.keys.get(key, parent.at), parent.mapping()[key]
        self.defects.append(
            Defect(
                intended_key.defect_kind,
                at,
                parent.path,
                key,
                intended_key.name,
                intended_key.repair,
            )
        )
        target = above if intended_key.moves_up and above is not None else level
        if value.content is None or not intended_key.path:
            return
        if len(intended_key.path) == 1:
            self._put_value(target, intended_key.path[0], value, at)
        else:
            _put_deeper(target, intended_key.path, value, at)

    def _put_value(self, target: RepairedMapping, key: str, value: Value, at: At) -> None:
        """Put a value under the intended key, unless that has one."""
        shape = target.shape.keys[key]
        fitting_value = value if shape.can_hold(value.content) else repair_value(value, shape)
        if not shape.can_hold(fitting_value.content):
            self._paths_without_value.add(f"{target.path}.{key}" if target.path else key)
        elif key not in target.content:
            target.content[key] = fitting_value
            target.keys = {**target.keys, key: at}

    def _check_completeness(self, value: Value, level: RepairedMapping, at: At) -> None:
        """Report missing keys, keys that exclude each other, and empty lists."""
        shape, content = level.shape, level.content
        for key in shape.required_keys:
            is_filled = key in content and (content[key].content != "" or key not in NONEMPTY_TEXTS)
            is_filled = is_filled or (key == "name" and "generateName" in content)
            path = f"{value.path}.{key}" if value.path else key
            if not is_filled and path not in self._paths_without_value:
                self.defects.append(Defect(DefectKind.MISSING_KEY, at, value.path, key))
        for group in shape.exclusive_keys:
            present_keys = [key for key in group if key in content]
            if len(present_keys) > 1:
                last_at = max(level.keys.get(key, value.at) for key in present_keys)
                key_names = " and ".join(present_keys)
                self.defects.append(
                    Defect(DefectKind.EXCLUSIVE_KEYS, last_at, value.path, key_names)
                )
        for key in shape.nonempty_lists:
            if key in content and content[key].content == []:
                key_at = level.keys.get(key, value.at)
                self.defects.append(Defect(DefectKind.EMPTY_LIST, key_at, content[key].path, key))


def _are_identical(first: Collection[Value], second: Collection[Value]) -> bool:
    """Say whether these are the very same values: nothing was repaired."""
    return len(first) == len(second) and all(map(operator.is_, first, second))


def _locate_key(value: Value, above: RepairedMapping | None) -> At:
    """Return where the key of a mapping stands, or where the entry of a list begins."""
    parent_path, _, key = value.path.rpartition(".")
    return (
        above.keys.get(key, value.at)
        if above is not None and parent_path == above.path
        else value.at
    )


def _put_deeper(level: RepairedMapping, names: tuple[str, ...], value: Value, at: At) -> None:
    """Put a value deeper, along a path of mappings; missing ones are made."""
    first, *other_names = names
    first_value = level.content.get(first)
    first_content = first_value.content if first_value is not None else {}
    if (
        isinstance(first_content, list)
        and len(first_content) == 1
        and isinstance(first_content[0].content, dict)
    ):
        below = RepairedMapping(
            "", level.shape, dict(first_content[0].content), dict(first_content[0].keys)
        )
        _put_one_level(below, tuple(other_names), value, at)
        level.content[first] = replace(
            first_value or value,
            content=[replace(first_content[0], content=below.content, keys=below.keys)],
        )
    elif isinstance(first_content, dict):
        keys = dict(first_value.keys) if first_value is not None else {}
        below = RepairedMapping("", level.shape, dict(first_content), keys)
        _put_one_level(below, tuple(other_names), value, at)
        path = first_value.path if first_value is not None else f"{level.path}.{first}"
        level.content[first] = Value(*value.at, path, below.content, below.keys)
        level.keys = {first: at, **level.keys}


def _put_one_level(below: RepairedMapping, names: tuple[str, ...], value: Value, at: At) -> None:
    """Put a value under the first name, or deeper if there are more names."""
    if len(names) > 1:
        _put_deeper(below, names, value, at)
    elif names[0] not in below.content:
        below.content[names[0]] = value
        below.keys = {**below.keys, names[0]: at}
