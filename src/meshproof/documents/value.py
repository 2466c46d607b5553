"""A YAML value that knows its position, and errors with that position."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from meshproof.base.errors import (
    Absent,
    BadRules,
    Missing,
    UndefinedSubset,
    Unsupported,
    suggest_nearest,
)
from meshproof.base.escaping import escape_line
from meshproof.base.place import Place

E = TypeVar("E", bound=BadRules)
Scalar = str | int | float | bool | None


class At(NamedTuple):
    """A position in a file. `line` and `column` count from 1; printed as `file:line`.

    `origin` is empty but for rendered objects, of which several come from one place: each has its
    own, which begins with the file that it was rendered for and `#`.
    """

    file: str
    line: int
    column: int = 1
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def place(self) -> Place:
        """The file and line of the position: what a record of it holds."""
        return Place(self.file, self.line)

    @property
    def rendered_by(self) -> str:
        """The kustomization or chart that made the object here; empty if it is as it is read."""
        return self.origin.partition("#")[0]

    @property
    def with_origin(self) -> str:
        """The position, with what rendered the object there."""
        return f"{self}, rendered by {self.rendered_by}" if self.origin else f"{self}"

    def error(self, message: str, path: str | None = None) -> BadRules:
        """Return an error about this position, as `file:line:column: message`.

        With the path of the value that it is about, the message begins with it.
        """
        return self._make_error(BadRules, message, path)

    def absent(self, message: str, path: str | None = None) -> Absent:
        """Return an error about something that must be here."""
        return self._make_error(Absent, message, path)

    def unsupported(self, message: str, path: str | None = None) -> Unsupported:
        """Return an error about a valid value that meshproof does not support."""
        return self._make_error(Unsupported, message, path)

    def missing(self, message: str, namespace: str, path: str | None = None) -> Missing:
        """Return an error about a reference to an object of a namespace that was not read."""
        error = self._make_error(Missing, message, path)
        error.namespace = namespace
        return error

    def undefined_subset(self, message: str, namespace: str, has_rule: bool) -> UndefinedSubset:
        """Return an error about a subset that no DestinationRule defines."""
        error = self._make_error(UndefinedSubset, message, None)
        error.namespace, error.has_rule = namespace, has_rule
        return error

    def _make_error(self, kind: type[E], message: str, path: str | None) -> E:
        if path is not None:
            message = f"{describe_path(path)}: {message}"
        error = kind(escape_line(f"{self.file}:{self.line}:{self.column}: {message}"))
        error.file, error.line, error.column, error.origin = self
        error.reason, error.path = escape_line(message), path or ""
        return error


#: The keys of a value that is no mapping.
NO_KEYS: Mapping[str, At] = {}


class KeyPlaces(Mapping[str, At], tuple[Any, ...]):
    """The positions of a mapping's keys: like a dict of At, in a fourth of its memory.

    The tuple has the file, then three items for each key: the key, its line and its column. A
    look-up takes as long as there are keys: it is for few.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> At:  # type: ignore[override]
        parts = tuple.__iter__(self)
        file = next(parts)
        for name in parts:
            line, column = next(parts), next(parts)
            if name == key:
                return At(file, line, column)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return itertools.islice(tuple.__iter__(self), 1, None, 3)

    def __len__(self) -> int:
        return tuple.__len__(self) // 3


@dataclass(eq=False, slots=True)
class Value:
    """A YAML value and its position. Treat it as frozen: it is not, because that is slow.

    `content` is a mapping of key to Value, a list of Values or a scalar. `path` is the path from
    the document's root (`spec.http[0].route`). `keys` are the positions of a mapping's keys.
    """

    file: str
    line: int
    column: int
    origin: str
    path: str
    content: dict[str, Value] | list[Value] | Scalar
    keys: Mapping[str, At] = field(default_factory=lambda: NO_KEYS)

    @property
    def at(self) -> At:
        """Its position. It is no field: a hundred thousand rules have millions of values."""
        return At(self.file, self.line, self.column, self.origin)

    @property
    def described_path(self) -> str:
        """The path, `the document` for an empty one."""
        return describe_path(self.path)

    def error(self, expected: str) -> BadRules:
        """Return an error that says what was expected here, and what was found."""
        return self.at.error(
            f"expected {expected}, found {self._describe_content()}", path=self.path
        )

    def lacks(self, expected: str) -> Absent:
        """Return an error that says what must be here, and what was found."""
        return self.at.absent(f"expected {expected}, found {self._describe_content()}", self.path)

    def _describe_content(self) -> str:
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return "a list"
        return "nothing" if self.content is None else repr(self.content)

    def get(self, key: str) -> Value | None:
        """Return the value under `key`, or None when it is absent or null."""
        value = self.mapping().get(key)
        return None if value is None or value.content is None else value

    def need(self, key: str) -> Value:
        """Return the value under `key`. Raises BadRules if it is missing, with a similar key."""
        value = self.get(key)
        if value is None and key in self.mapping():
            raise self.keys[key].error(f"'{key}' is empty", path=self.path)
        if value is None:
            other_keys = [name for name in self.mapping() if name != key]
            for near in difflib.get_close_matches(key, other_keys, n=1, cutoff=0.7):
                raise self.keys[near].error(
                    f"'{key}' is missing; is '{near}' a misspelling of it?", path=self.path
                )
            raise self.at.absent(f"'{key}' is missing", path=self.path)
        return value

    def entries(self, key: str) -> list[Value]:
        """Return the items of the list under `key`, [] when it is absent or null."""
        value = self.get(key)
        return value.items() if value is not None else []

    def mapping(self) -> dict[str, Value]:
        """Return the content as a mapping. Raises BadRules when it is something else."""
        if not isinstance(self.content, dict):
            raise self.error("a mapping")
        return self.content

    def items(self) -> list[Value]:
        """Return the content as a list. Raises BadRules when it is something else."""
        if not isinstance(self.content, list):
            raise self.error("a list")
        return self.content

    def text(self) -> str:
        """Return the content as text. Raises BadRules for anything but a YAML string."""
        if not isinstance(self.content, str):
            raise self.error("text")
        return self.content

    def non_empty_text(self) -> str:
        """Return the content as non-empty text. Raises BadRules for anything else."""
        if not self.text():
            raise self.error("text that is not empty")
        return self.text()

    def integer(self, minimum: int, maximum: int) -> int:
        """Return the content as a whole number in [minimum, maximum]. Raises BadRules otherwise."""
        value = self.content
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self.error(f"a whole number from {minimum} to {maximum}")
        return value

    def boolean(self) -> bool:
        """Return the content as true or false. Raises BadRules otherwise."""
        if not isinstance(self.content, bool):
            raise self.error("true or false")
        return self.content

    def text_mapping(self) -> dict[str, str]:
        """Return a mapping of text to text. Raises BadRules otherwise."""
        return {key: value.text() for key, value in self.mapping().items()}

    def choice(self, *valid: str) -> str:
        """Return the content as one of `valid`. Raises BadRules with the nearest one."""
        text = self.text()
        if text not in valid:
            hint = suggest_nearest(text, valid)
            raise self.at.error(f"'{text}' is not one of {', '.join(valid)}{hint}", path=self.path)
        return text

    def to_python(self) -> Any:
        """Return the content as ordinary Python values (dict, list, scalars)."""
        if isinstance(self.content, dict):
            return {key: value.to_python() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [value.to_python() for value in self.content]
        return self.content


class NamedByValue:
    """Something of a file that has its name from a value there."""

    __slots__ = ()
    named_by: Value

    @property
    def at(self) -> At:
        """Where its name stands."""
        return self.named_by.at


def describe_path(path: str) -> str:
    """Return a path for a message: `the document` for an empty one."""
    return path or "the document"
