"""Options of the judge that a rule sets for itself: annotations `meshproof/NAME` of its object.

Annotations are text, and their keys may have a prefix (Kubernetes, "Annotations").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from meshproof.base.errors import nearest
from meshproof.documents.value import At, Value

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document

PREFIX = "meshproof/"
#: Kinds whose objects say where requests go: only there an option holds for something.
ROUTING = ("VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute", "Ingress")

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.I)


class _Range(NamedTuple):
    """The values that an option may have, in words and as a test."""

    said: str
    holds: Callable[[float], bool]


_SHARE = _Range('a number between 0 and 1 as text, such as "0.05"', lambda value: 0 < value < 1)
_COUNT = _Range(
    'a whole number from 1 as text, such as "500"',
    lambda value: value >= 1 and value.is_integer(),
)
_AMOUNT = _Range('a number from 0 as text, such as "3"', lambda value: value < float("inf"))
_RANGES = {
    "tolerance": _SHARE,
    "leak": _SHARE,
    "beta": _SHARE,
    "present": _SHARE,
    "budget": _COUNT,
    "look-every": _COUNT,
    "unnamed-budget": _AMOUNT,
}
#: What a rule, or a check, may set for itself, by the judge's names; the alpha is the run's.
NAMES = tuple(name.replace("-", "_") for name in _RANGES)


@dataclass(frozen=True)
class Option:
    """An option that a rule sets: the judge's name for it, its value, and where it is written."""

    name: str
    value: float
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name} {self.value:g}"


Options = tuple[Option, ...]


class Wrong(NamedTuple):
    """An annotation that cannot hold: where, why, and what to write instead."""

    at: At
    said: str
    repair: str


def read(document: Document) -> Options:
    """Return the options that a rule sets for itself.

    Raises BadRules with file and line for one that is unknown or has a wrong value.
    """
    noted = _annotations(document)
    for at, said, _ in wrong(noted, document.kind) if noted else ():
        raise at.error(said)
    return tuple(_option(key.removeprefix(PREFIX), value) for key, value in _own(noted))


def over(first: Options, second: Options) -> Options:
    """Return the options of two objects behind one route: where both set one, the first holds."""
    names = {one.name for one in first}
    return (*first, *(one for one in second if one.name not in names))


def wrong(annotations: Value, kind: str) -> Iterator[Wrong]:
    """Yield the annotations of an object of that kind that are meant for us and cannot hold."""
    for key, value in _own(annotations):
        at, name = annotations.keys[key], key.removeprefix(PREFIX)
        if name == key:
            said = f"options of meshproof are written {PREFIX}NAME"
            yield Wrong(at, f"{key}: {said}", f"{PREFIX}{key.rpartition('/')[2]}")
        elif name == "alpha":
            said = "the alpha is shared over all checks of a run, so that no rule has its own"
            yield Wrong(at, f"{key}: {said}", "--mesh-alpha")
        elif name not in _RANGES:
            said = f"meshproof has no option '{name}'{nearest(name, _RANGES)}"
            yield Wrong(at, f"{key}: {said}", f"one of {', '.join(_RANGES)}")
        elif kind not in ROUTING:
            said = f"it holds for nothing in a {kind}, which says of no request where it goes"
            yield Wrong(at, f"{key}: {said}", f"in the rule ({', '.join(ROUTING)})")
        elif not _fits(value.content, _RANGES[name]):
            expected = _RANGES[name].said
            yield Wrong(value.at, f"{key}: expected {expected}, found {value.content!r}", expected)


def _annotations(document: Document) -> Value | None:
    metadata = document.root.get("metadata")
    return metadata.get("annotations") if metadata else None


def _own(annotations: Value | None) -> Iterator[tuple[str, Value]]:
    """Yield key and value of those that are meant for us, misspelt ones too."""
    for key, value in annotations.mapping().items() if annotations else ():
        prefix = key.rpartition("/")[0]
        if "meshproof" in key.lower() or difflib.get_close_matches(prefix, ["meshproof"], 1, 0.8):
            yield key, value


def _fits(content: object, values: _Range) -> bool:
    found = isinstance(content, str) and _NUMBER.fullmatch(content)
    return bool(found) and values.holds(float(str(content)))


def _option(name: str, value: Value) -> Option:
    number = float(value.text())
    whole = _RANGES[name] is _COUNT
    return Option(name.replace("-", "_"), int(number) if whole else number, value.at)
