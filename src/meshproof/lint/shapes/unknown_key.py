"""Finds out what was meant by a key that its mapping does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At, Value
from meshproof.documents.schema import Shape, closest
from meshproof.lint.engine.defect import Sort

#: More keys than any mapping of a rule has: such a file is something else.
_MOST_KEYS = 200
_PATH = re.compile(r"[\w.]+")


@dataclass
class Level:
    """A mapping on the way down a document, as far as it is put right."""

    path: str
    shape: Shape
    content: dict[str, Value]
    keys: dict[str, At]


@dataclass(frozen=True)
class Home:
    """Where a key belongs: `path` from its mapping down, or from the mapping above it (`up`).

    `meant` is the right word, `how` the repair in words; an empty path means: nobody knows.
    """

    sort: Sort
    meant: str = ""
    how: str = ""
    path: tuple[str, ...] = ()
    up: bool = False


def find_home(
    key: str, parent: Value, content: dict[str, Value], shape: Shape, above: Level | None
) -> Home:
    """Return where `key` of `parent` was meant to be, the surest guess first."""
    value = parent.mapping()[key]
    for guess in (_case, _old, _below, _above, _alike, _only_missing):
        for home in guess(key, value, parent, content, shape, above):
            return home
    return Home(Sort.UNKNOWN_KEY, how=_valid(shape))


_Guess = Iterator[Home]


def _case(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guess:
    """`apiversion`, `per_try_timeout`: the right letters."""
    folded = {_folded(one): one for one in shape.keys}
    meant = folded.get(_folded(key))
    if meant:
        yield Home(Sort.WRONG_CASE, meant, meant, (meant,))


def _folded(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _old(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guess:
    """A word of an earlier version of this kind, or of the kind before it."""
    meant = shape.old.get(key)
    if meant is None:
        return
    path = tuple(meant.split(".")) if _PATH.fullmatch(meant) else ()
    target: Shape | None = shape
    for name in path:
        target = target.of_mappings.keys.get(name) if target else None
    if target is None or not target.takes(value.content):
        path = ()
    yield Home(Sort.OLD_SPELLING, meant, meant, path)


def _below(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guess:
    """A key that its indentation put one level too high."""
    empty = [name for name, one in parent.mapping().items() if one.content is None]
    there = [name for name in shape.keys if name in content]
    absent = [name for name in shape.required if name not in content and name not in empty]
    for names in (empty, there, absent):
        homes = [name for name in names if _has(shape.keys.get(name), key, value)]
        if len(homes) == 1:
            home = homes[0]
            how = f"indent it, to stand under '{home}'" if home not in absent else f"{home}.{key}"
            yield Home(Sort.UNKNOWN_KEY, f"{home}.{key}", how, (home, key))


def _has(shape: Shape | None, key: str, value: Value) -> bool:
    found = shape.of_mappings.keys.get(key) if shape else None
    return found is not None and found.takes(value.content)


def _fits(shape: Shape, value: Value) -> bool:
    """Say whether a value can stand here, a list's entries or a single one of them."""
    if shape.type == "list" and shape.each:
        inner = value.content if isinstance(value.content, list) else [value]
        return all(shape.each.takes(one.content) for one in inner)
    return shape.takes(value.content)


def _above(
    key: str,
    value: Value,
    parent: Value,
    content: dict[str, Value],
    shape: Shape,
    above: Level | None,
) -> _Guess:
    """A key that its indentation put one level too deep."""
    if above is not None and key not in above.content and _has(above.shape, key, value):
        where = f"of '{above.path}'" if above.path else "of the document"
        yield Home(
            Sort.UNKNOWN_KEY, key, f"move it one level up: it is a key {where}", (key,), True
        )


def _alike(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guess:
    """A typo: the nearest key that takes such a value, or one that is very near."""
    if len(parent.mapping()) > _MOST_KEYS:
        return
    fitting = [name for name, one in shape.keys.items() if _fits(one, value)]
    meant = closest(key, fitting) or closest(key, shape.keys, 0.75)
    if meant:
        yield Home(Sort.UNKNOWN_KEY, meant, meant, (meant,))


def _only_missing(
    key: str, value: Value, parent: Value, content: dict[str, Value], shape: Shape, above: object
) -> _Guess:
    """Another word for the one key that is needed and not there."""
    missing = [one for one in shape.required if one not in content]
    if len(missing) == 1 and shape.keys[missing[0]].takes(value.content):
        yield Home(Sort.UNKNOWN_KEY, missing[0], missing[0], (missing[0],))


def _valid(shape: Shape) -> str:
    return f"one of {', '.join(sorted(shape.keys))}" if shape.keys else ""
