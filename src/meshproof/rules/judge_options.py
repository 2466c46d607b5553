"""Reads the judge's options that a rule sets: annotations `meshproof/NAME` of its object.

Annotations are text, and their keys may have a prefix (Kubernetes, "Annotations").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from meshproof.base.errors import suggest_nearest
from meshproof.documents.value import At, Value

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document
    from meshproof.options import table

ANNOTATION_PREFIX = "meshproof/"
#: Kinds that route requests: an option has an effect only there.
ROUTING_KINDS = ("VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute", "Ingress")

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.I)


@cache
def _read_table() -> dict[str, table.Option]:
    """Return name -> option, of those that a rule may set. Late: few rules have an annotation."""
    from meshproof.options import table

    return {option.name: option for option in table.list_options("rule")}


def list_option_names() -> list[str]:
    """Return the options that a rule or a check may set, by the judge's names.

    The alpha is the run's.
    """
    return [name.replace("-", "_") for name in _read_table()]


def describe_ranges() -> dict[str, str]:
    """Return annotation -> its range in words: its value is text, unlike that of a file."""
    examples = {name: "500" if _is_count(name) else "0.05" for name in _read_table()}
    return {
        name: f'{option.kind.expected} as text, such as "{examples[name]}"'
        for name, option in _read_table().items()
    }


def _is_count(name: str) -> bool:
    """Say whether an option has whole numbers."""
    from meshproof.options.kinds import Whole

    return isinstance(_read_table()[name].kind, Whole)


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
        elif name not in _read_table():
            reason = f"meshproof has no option '{name}'{suggest_nearest(name, _read_table())}"
            yield InvalidAnnotation(at, f"{key}: {reason}", f"one of {', '.join(_read_table())}")
        elif kind not in ROUTING_KINDS:
            reason = f"it holds for nothing in a {kind}, which says of no request where it goes"
            yield InvalidAnnotation(
                at, f"{key}: {reason}", f"in the rule ({', '.join(ROUTING_KINDS)})"
            )
        elif not _is_in_range(value.content, _read_table()[name]):
            expected = describe_ranges()[name]
            yield InvalidAnnotation(
                value.at, f"{key}: expected {expected}, found {value.content!r}", expected
            )


def check_range(name: str, value: float) -> None:
    """Raise ValueError for a setting of a check, by the judge's name, that is out of its range."""
    option = _read_table()[name.replace("_", "-")]
    if not _contains(option, value):
        raise ValueError(f"{name} {value!r}: expected {option.kind.expected}")


def _contains(option: table.Option, number: float) -> bool:
    """Say whether an option takes a number."""
    from meshproof.options.kinds import Number, Whole

    return isinstance(option.kind, (Whole, Number)) and option.kind.contains(number)


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
    return _contains(option, float(content))


def _make_option(name: str, value: Value) -> Option:
    """Return the option of a valid annotation."""
    number = float(value.text())
    return Option(name.replace("-", "_"), int(number) if _is_count(name) else number, value.at)
