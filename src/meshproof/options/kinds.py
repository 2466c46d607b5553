"""The kinds of an option's value: how each is read from text and from TOML, and its range.

Both readers return the value, or raise ValueError with the reason: `expected a whole number from 1
to 64`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from meshproof.base.errors import suggest_nearest

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.I)
_WHOLE = re.compile(r"[+-]?[0-9]+")
#: The longest number that is read: Python takes its time for the digits of longer ones.
_MAX_DIGITS = 40
_FLAG_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class Kind(Protocol):
    """What values an option takes. `metavar` stands for a value in help, `expected` is the range.

    Where `expected` is empty, any text will do.
    """

    @property
    def metavar(self) -> str:
        """The word that stands for a value; empty for a flag."""

    @property
    def expected(self) -> str:
        """The range in words: `a whole number from 1 to 64`."""

    def read_text(self, text: str) -> object:
        """Return the value that a command line or a variable gives."""

    def read_toml(self, content: object, folder: Path) -> object:
        """Return the value that a file in `folder` gives."""


@dataclass(frozen=True, eq=False)
class Flag:
    """A switch: on the command line it has no value, in a file it is true or false."""

    metavar: str = ""
    expected: str = "true or false"

    def read_text(self, text: str) -> bool:
        """Return the value of 1, true, yes, on, 0, false, no or off."""
        if text.lower() not in _FLAG_WORDS:
            raise ValueError(f"expected {self.expected}")
        return _FLAG_WORDS[text.lower()]

    def read_toml(self, content: object, folder: Path) -> bool:
        """Return a TOML boolean."""
        if not isinstance(content, bool):
            raise ValueError(f"expected {self.expected}")
        return content


@dataclass(frozen=True, eq=False)
class Whole:
    """A whole number from `lowest` to `highest`, both included."""

    metavar: str
    lowest: int
    highest: int

    @property
    def expected(self) -> str:
        """The range in words."""
        return f"a whole number from {self.lowest} to {self.highest}"

    def contains(self, number: float) -> bool:
        """Say whether a number is whole and in the range."""
        return self.lowest <= number <= self.highest and number == int(number)

    def read_text(self, text: str) -> int:
        """Return a number that is written in decimal digits."""
        if not _WHOLE.fullmatch(text) or len(text) > _MAX_DIGITS or not self.contains(int(text)):
            raise ValueError(f"expected {self.expected}")
        return int(text)

    def read_toml(self, content: object, folder: Path) -> int:
        """Return a TOML integer."""
        if isinstance(content, bool) or not isinstance(content, int) or not self.contains(content):
            raise ValueError(f"expected {self.expected}")
        return content


@dataclass(frozen=True, eq=False)
class Number:
    """A number from `lowest` to `highest`, both included and finite."""

    metavar: str
    lowest: float
    highest: float

    @property
    def expected(self) -> str:
        """The range in words."""
        return f"a number from {self.lowest:.12g} to {self.highest:.12g}"

    def contains(self, number: float) -> bool:
        """Say whether a number is in the range."""
        return self.lowest <= number <= self.highest

    def read_text(self, text: str) -> float:
        """Return a number in decimal or exponential notation."""
        if not _NUMBER.fullmatch(text) or not self.contains(float(text)):
            raise ValueError(f"expected {self.expected}")
        return float(text)

    def read_toml(self, content: object, folder: Path) -> float:
        """Return a TOML integer or float."""
        is_number = isinstance(content, (int, float)) and not isinstance(content, bool)
        if not is_number or not self.contains(content):  # type: ignore[arg-type]
            raise ValueError(f"expected {self.expected}")
        return float(content)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Choice:
    """One word of a list, in upper or lower case."""

    choices: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """The words."""
        return f"{{{','.join(self.choices)}}}"

    @property
    def expected(self) -> str:
        """The range in words."""
        return " or ".join((", ".join(self.choices[:-1]), self.choices[-1]))

    def read_text(self, text: str) -> str:
        """Return the word as the list has it."""
        word, valid = text.lower(), ", ".join(self.choices)
        if word not in self.choices:
            hint = suggest_nearest(word, self.choices)
            raise ValueError(f"not one of {valid}{hint}")
        return word

    def read_toml(self, content: object, folder: Path) -> str:
        """Return the word of a TOML string."""
        return self.read_text(_read_string(content))


@dataclass(frozen=True, eq=False)
class Text:
    """Text that matches `pattern` in full, if there is one; `expected` says so in words."""

    metavar: str
    pattern: str = ""
    expected: str = ""

    def read_text(self, text: str) -> str:
        """Return the text."""
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected {self.expected}")
        return text

    def read_toml(self, content: object, folder: Path) -> str:
        """Return the text of a TOML string."""
        return self.read_text(_read_string(content))


@dataclass(frozen=True, eq=False)
class PathText:
    """A path; in a file it is relative to the folder of that file.

    A value that matches `words` in full is no path.
    """

    metavar: str
    expected: str = ""
    words: str = ""

    def read_text(self, text: str) -> str:
        """Return the text of an option as a path."""
        if "\0" in text:
            raise ValueError("expected a path")
        return text

    def read_toml(self, content: object, folder: Path) -> str:
        """Return the path of a TOML string, relative to the current folder or absolute.

        `folder` is that of the file. What matches `words` stays as it is.
        Raises ValueError for anything but text.
        """
        text = self.read_text(_read_string(content))
        if self.words and re.fullmatch(self.words, text):
            return text
        return str(Path(os.path.relpath(folder)) / Path(text).expanduser())


def _read_string(content: object) -> str:
    """Return a TOML string. Raises ValueError for anything else."""
    if not isinstance(content, str):
        raise ValueError("expected text in quotes")
    return content
