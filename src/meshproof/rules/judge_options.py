"""Reads the judge's options that a rule sets: annotations `meshproof/NAME` of its object.

Annotations are text, and their keys may have a prefix (Kubernetes, "Annotations").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from meshproof.base.errors import suggest_nearest
from meshproof.documents.value import At, Value
from meshproof.options import table
from meshproof.options.kinds import Number, Whole

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document

ANNOTATION_PREFIX = "meshproof/"
#: Kinds that route requests: an option has an effect only there.
ROUTING_KINDS = ("VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute", "Ingress")

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.I)


def _describe_range(option: table.Option) -> str:
    """Return the range of an annotation in words: its value is text, unlike that of a file."""
    example = "500" if isinstance(option.kind, Whole) else "0.05"
    return f'{option.kind.expected} as text, such as "{example}"'


_OPTIONS = {option.name: option for option in table.list_options("rule")}
#: Annotation -> its range in words.
RANGES = {name: _describe_range(option) for name, option in _OPTIONS.items()}
#: The options that a rule or a check may set, by the judge's names. The alpha is the run's.
OPTION_NAMES = tuple(name.replace("-", "_") for name in _OPTIONS)


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
        elif name not in _OPTIONS:
            reason = f"meshproof has no option '{name}'{suggest_nearest(name, _OPTIONS)}"
            yield InvalidAnnotation(at, f"{key}: {reason}", f"one of {', '.join(_OPTIONS)}")
        elif kind not in ROUTING_KINDS:
            reason = f"it holds for nothing in a {kind}, which says of no request where it goes"
            yield InvalidAnnotation(
                at, f"{key}: {reason}", f"in the rule ({', '.join(ROUTING_KINDS)})"
            )
        elif not _is_in_range(value.content, _OPTIONS[name]):
            expected = RANGES[name]
            yield InvalidAnnotation(
                value.at, f"{key}: expected {expected}, found {value.content!r}", expected
            )


def check_range(name: str, value: float) -> None:
    """Raise ValueError for a setting of a check, by the judge's name, that is out of its range."""
    kind = _OPTIONS[name.replace("_", "-")].kind
    if isinstance(kind, (Whole, Number)) and not kind.contains(value):
        raise ValueError(f"{name} {value!r}: expected {kind.expected}")


def _get_annotations(document: Document) -> Value | None:
    metadata = document.root.get("metadata")
    return metadata.get("annotations") if metadata else None


def _list_meshproof_annotations(annotations: Value | None) -> Iterator[tuple[str, Value]]:
    """Yield key and value of the annotations for meshproof, also of misspelt ones."""
    for key, value in annotations.mapping().items() if annotations else ():
        prefix = key.rpartition("/")[0]
        if "meshproof" in key.lower() or difflib.get_close_matches(prefix, ["meshproof"], 1, 0.8):
            yield key, value


def _is_in_range(content: object, option: table.Option) -> bool:
    """Say whether the content of an annotation is a number in the range of an option."""
    if not isinstance(content, str) or not _NUMBER.fullmatch(content):
        return False
    return isinstance(option.kind, (Whole, Number)) and option.kind.contains(float(content))


def _make_option(name: str, value: Value) -> Option:
    """Return the option of a valid annotation."""
    number = float(value.text())
    is_count = isinstance(_OPTIONS[name].kind, Whole)
    return Option(name.replace("-", "_"), int(number) if is_count else number, value.at)
