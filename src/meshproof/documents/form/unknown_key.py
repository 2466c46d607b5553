"""Finds out which key was intended by one that its mapping does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from meshproof.documents.form.defect import DefectKind
from meshproof.documents.manifest import At, Value
from meshproof.documents.schema import Shape, find_closest_word

#: More keys than any mapping of a rule has: such a file is something else.
_MOST_KEYS = 200
_PATH = re.compile(r"[\w.]+")


@dataclass
class RepairedMapping:
    """A mapping on the way down a document, as far as it is repaired."""

    path: str
    shape: Shape
    content: dict[str, Value]
    keys: Mapping[str, At]


@dataclass(frozen=True)
class IntendedKey:
    """The key that was intended: its name, and where it belongs.

    `path` leads there from the mapping, or from the one above (`moves_up`). It is empty if unknown.
    `repair` says what to do.
    """

    defect_kind: DefectKind
    name: str = ""
    repair: str = ""
    path: tuple[str, ...] = ()
    moves_up: bool = False


def find_intended_key(
    key: str, parent: Value, content: dict[str, Value], shape: Shape, above: RepairedMapping | None
) -> IntendedKey:
    """Return the surest guess at what `key` of `parent` means; without one, the valid keys."""
    value = parent.mapping()[key]
    for match_key in (
        _match_other_case,
        _match_old_key,
        _match_key_below,
        _match_key_above,
        _match_typo,
        _match_missing_key,
    ):
        for intended_key in match_key(key, value, parent, content, shape, above):
            return intended_key
    return IntendedKey(DefectKind.UNKNOWN_KEY, repair=_list_valid_keys(shape))


_Guesses = Iterator[IntendedKey]


def _match_other_case(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guesses:
    """Yield the key with the right letters: `apiversion`, `per_try_timeout`."""
    right_name = _keys_by_folded(shape).get(_fold_key(key))
    if right_name:
        yield IntendedKey(DefectKind.WRONG_CASE, right_name, right_name, (right_name,))


@cache
def _keys_by_folded(shape: Shape) -> dict[str, str]:
    """Return the keys of a shape by their folded form."""
    return {_fold_key(name): name for name in shape.keys}


def _fold_key(key: str) -> str:
    """Return a key in lower case without `_` and `-`."""
    return key.lower().replace("_", "").replace("-", "")


def _match_old_key(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guesses:
    """Yield today's key for one of an earlier version of this kind, or of its predecessor."""
    replacement = shape.old_keys.get(key)
    if replacement is None:
        return
    path = tuple(replacement.split(".")) if _PATH.fullmatch(replacement) else ()
    target: Shape | None = shape
    for name in path:
        target = target.mapping_shape.keys.get(name) if target else None
    if target is None or not target.can_hold(value.content):
        path = ()
    yield IntendedKey(DefectKind.OLD_SPELLING, replacement, replacement, path)


def _match_key_below(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guesses:
    """Yield the key one level down: the indentation is missing."""
    without_value = [name for name, child in parent.mapping().items() if child.content is None]
    present = [name for name in shape.keys if name in content]
    absent = [
        name for name in shape.required_keys if name not in content and name not in without_value
    ]
    for names in (without_value, present, absent):
        parent_keys = [name for name in names if _has_key(shape.keys.get(name), key, value)]
        if len(parent_keys) == 1:
            parent_key = parent_keys[0]
            repair = (
                f"indent it, to stand under '{parent_key}'"
                if parent_key not in absent
                else f"{parent_key}.{key}"
            )
            yield IntendedKey(
                DefectKind.UNKNOWN_KEY, f"{parent_key}.{key}", repair, (parent_key, key)
            )


def _has_key(shape: Shape | None, key: str, value: Value) -> bool:
    """Say whether a shape has a key that can hold this value."""
    key_shape = shape.mapping_shape.keys.get(key) if shape else None
    return key_shape is not None and key_shape.can_hold(value.content)


def _can_hold(shape: Shape, value: Value) -> bool:
    """Say whether a shape can hold a value, as a list also a single entry."""
    if shape.type == "list" and shape.element:
        entries = value.content if isinstance(value.content, list) else [value]
        return all(shape.element.can_hold(entry.content) for entry in entries)
    return shape.can_hold(value.content)


def _match_key_above(
    key: str,
    value: Value,
    parent: Value,
    content: dict[str, Value],
    shape: Shape,
    above: RepairedMapping | None,
) -> _Guesses:
    """Yield the key one level up: the indentation is too deep."""
    if above is not None and key not in above.content and _has_key(above.shape, key, value):
        owner = f"of '{above.path}'" if above.path else "of the document"
        yield IntendedKey(
            DefectKind.UNKNOWN_KEY, key, f"move it one level up: it is a key {owner}", (key,), True
        )


def _match_typo(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guesses:
    """Yield the closest key that can hold the value, or a very close one."""
    if len(parent.mapping()) > _MOST_KEYS:
        return
    fitting_keys = [name for name, key_shape in shape.keys.items() if _can_hold(key_shape, value)]
    nearest_key = find_closest_word(key, fitting_keys) or find_closest_word(key, shape.keys, 0.75)
    if nearest_key:
        yield IntendedKey(DefectKind.UNKNOWN_KEY, nearest_key, nearest_key, (nearest_key,))


def _match_missing_key(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guesses:
    """Yield the only required key that is missing."""
    missing = [name for name in shape.required_keys if name not in content]
    if len(missing) == 1 and shape.keys[missing[0]].can_hold(value.content):
        yield IntendedKey(DefectKind.UNKNOWN_KEY, missing[0], missing[0], (missing[0],))


def _list_valid_keys(shape: Shape) -> str:
    """Return the valid keys in words, empty if any key is valid."""
    return f"one of {', '.join(sorted(shape.keys))}" if shape.keys else ""
