"""Reads the judge's options that a rule sets: annotations `meshproof/NAME` of its object.

Annotations are text, and their keys may have a prefix (Kubernetes, "Annotations").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from meshproof.base.errors import suggest_nearest
from meshproof.documents.value import At, Value

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document

ANNOTATION_PREFIX = "meshproof/"
#: Kinds that route requests: an option has an effect only there.
ROUTING_KINDS = ("VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute", "Ingress")

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.I)


class _Range(NamedTuple):
    """The valid values of an option, in words and as a function."""

    description: str
    contains: Callable[[float], bool]


_SHARES = _Range('a number between 0 and 1 as text, such as "0.05"', lambda value: 0 < value < 1)
_COUNTS = _Range(
    'a whole number from 1 as text, such as "500"',
    lambda value: value >= 1 and value.is_integer(),
)
_AMOUNTS = _Range('a number from 0 as text, such as "3"', lambda value: value < float("inf"))
_RANGES = {
    "tolerance": _SHARES,
    "leak": _SHARES,
    "beta": _SHARES,
    "present": _SHARES,
    "budget": _COUNTS,
    "look-every": _COUNTS,
    "unnamed-budget": _AMOUNTS,
}
#: The options that a rule or a check may set, by the judge's names. The alpha is the run's.
OPTION_NAMES = tuple(name.replace("-", "_") for name in _RANGES)


@dataclass(frozen=True)
class Option:
    """An option that a rule sets: its name in the judge, its value, and its position."""

    name: str
    value: float
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name} {self.value:g}"


Options = tuple[Option, ...]


class InvalidAnnotation(NamedTuple):
    """An annotation that has no effect: its position, the reason, and what to write instead."""

    at: At
    message: str
    repair: str


def read_options(document: Document) -> Options:
    """Return the options that a rule sets.

    Raises BadRules with file and line for an unknown option or a wrong value.
    """
    annotations = _get_annotations(document)
    for at, message, _ in (
        find_invalid_annotations(annotations, document.kind) if annotations else ()
    ):
        raise at.error(message)
    return tuple(
        _make_option(key.removeprefix(ANNOTATION_PREFIX), value)
        for key, value in _list_meshproof_annotations(annotations)
    )


def merge_options(first: Options, second: Options) -> Options:
    """Return the options of two objects behind one route. Where both set one, the first wins."""
    names = {option.name for option in first}
    return (*first, *(option for option in second if option.name not in names))


def find_invalid_annotations(annotations: Value, kind: str) -> Iterator[InvalidAnnotation]:
    """Yield the annotations for meshproof of an object of a kind that have no effect."""
    for key, value in _list_meshproof_annotations(annotations):
        at, name = annotations.keys[key], key.removeprefix(ANNOTATION_PREFIX)
        if name == key:
            reason = f"options of meshproof are written {ANNOTATION_PREFIX}NAME"
            yield InvalidAnnotation(
                at, f"{key}: {reason}", f"{ANNOTATION_PREFIX}{key.rpartition('/')[2]}"
            )
        elif name == "alpha":
            reason = "the alpha is shared over all checks of a run, so that no rule has its own"
            yield InvalidAnnotation(at, f"{key}: {reason}", "--mesh-alpha")
        elif name not in _RANGES:
            reason = f"meshproof has no option '{name}'{suggest_nearest(name, _RANGES)}"
            yield InvalidAnnotation(at, f"{key}: {reason}", f"one of {', '.join(_RANGES)}")
        elif kind not in ROUTING_KINDS:
            reason = f"it holds for nothing in a {kind}, which says of no request where it goes"
            yield InvalidAnnotation(
                at, f"{key}: {reason}", f"in the rule ({', '.join(ROUTING_KINDS)})"
            )
        elif not _is_in_range(value.content, _RANGES[name]):
            expected = _RANGES[name].description
            yield InvalidAnnotation(
                value.at, f"{key}: expected {expected}, found {value.content!r}", expected
            )


def _get_annotations(document: Document) -> Value | None:
    metadata = document.root.get("metadata")
    return metadata.get("annotations") if metadata else None


def _list_meshproof_annotations(annotations: Value | None) -> Iterator[tuple[str, Value]]:
    """Yield key and value of the annotations for meshproof, also of misspelt ones."""
    for key, value in annotations.mapping().items() if annotations else ():
        prefix = key.rpartition("/")[0]
        if "meshproof" in key.lower() or difflib.get_close_matches(prefix, ["meshproof"], 1, 0.8):
            yield key, value


def _is_in_range(content: object, valid_range: _Range) -> bool:
    """Say whether the content of an annotation is a number in a range."""
    is_number = isinstance(content, str) and _NUMBER.fullmatch(content)
    return bool(is_number) and valid_range.contains(float(str(content)))


def _make_option(name: str, value: Value) -> Option:
    """Return the option of a valid annotation."""
    number = float(value.text())
    is_count = _RANGES[name] is _COUNTS
    return Option(name.replace("-", "_"), int(number) if is_count else number, value.at)
