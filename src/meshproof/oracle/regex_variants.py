"""Values at the edges of a regex: which it still takes, and which it just misses.

A value that the regex takes is varied and held against RE2. So the edges are those of the regex as
it is, whatever its syntax: the ends of its classes, its least and most repetitions, its tail.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_TESTED_CHARACTERS = string.ascii_letters + string.digits + "-_."
#: More repetitions are not tried.
_MAX_REPETITIONS = 64
#: Longer values are not varied.
_MAX_VARIED_LENGTH = 128
#: The maximum number of near misses of one regex.
_MAX_NEAR_MISSES = 12
#: Ranges of characters that regexes name.
_RANGES = (string.ascii_lowercase, string.ascii_uppercase, string.digits)

IsMatch = Callable[[str], bool]


@dataclass(frozen=True)
class _Position:
    """A character of a value, and the characters that the regex takes in its place."""

    index: int
    character: str
    accepted: str

    @property
    def is_class(self) -> bool:
        """True where the regex leaves a choice."""
        return len(self.accepted) > 1


def generate_extremes(value: str, is_match: IsMatch) -> Iterator[tuple[str, str]]:
    """Yield (description, value): the ends of each class, as short and as long as it can be."""
    if len(value) > _MAX_VARIED_LENGTH or not is_match(value):
        return
    positions = _list_classes(value, is_match)
    for description, count_repetitions, pick in (
        ("at its least", lambda *_: 1, _pick_first),
        ("at its most", _count_repetitions, _pick_ends),
    ):
        changed = value
        for position in reversed(positions):
            count = count_repetitions(value, position, is_match)
            run = "".join(itertools.islice(itertools.cycle(pick(position.accepted)), count))
            candidate = changed[: position.index] + run + changed[position.index + 1 :]
            changed = candidate if is_match(candidate) else changed
        if changed != value:
            yield description, changed


def generate_near_misses(value: str, is_match: IsMatch) -> Iterator[tuple[str, str]]:
    """Yield (description, value) for values that only a slightly wider regex takes."""
    if len(value) > _MAX_VARIED_LENGTH or not is_match(value):
        return
    misses = (
        (description, miss)
        for description, miss in itertools.chain(
            _vary_characters(value, is_match), _vary_lengths(value, is_match)
        )
        if not is_match(miss)
    )
    yield from itertools.islice(misses, _MAX_NEAR_MISSES)


def _list_positions(value: str, is_match: IsMatch) -> list[_Position]:
    """Return the positions of a value."""

    def list_accepted(index: int) -> str:
        return "".join(
            character
            for character in _TESTED_CHARACTERS
            if is_match(value[:index] + character + value[index + 1 :])
        )

    return [
        _Position(index, character, list_accepted(index)) for index, character in enumerate(value)
    ]


def _list_classes(value: str, is_match: IsMatch) -> list[_Position]:
    """Return the first position of each run of one class."""
    positions = _list_positions(value, is_match)
    previous = [None, *positions]
    return [
        position
        for before, position in zip(previous, positions, strict=False)
        if position.is_class and (before is None or before.accepted != position.accepted)
    ]


def _pick_first(accepted: str) -> str:
    """Return the first character of the first range of a class."""
    return next((first for first, _ in _list_ends(accepted)), accepted[0])


def _pick_ends(accepted: str) -> str:
    """Return the ends of each range of a class, and what is in no range."""
    ends = [last + first for first, last in _list_ends(accepted)]
    return "".join([*ends, *(character for character in accepted if character in "-_.")])


def _list_ends(accepted: str) -> list[tuple[str, str]]:
    """Return the first and the last character of each range in a class."""
    parts = ([letter for letter in letters if letter in accepted] for letters in _RANGES)
    return [(part[0], part[-1]) for part in parts if part]


def _count_repetitions(value: str, position: _Position, is_match: IsMatch) -> int:
    """Return how often a character may stand there in a row, up to a limit."""
    for count in range(2, _MAX_REPETITIONS + 1):
        if not is_match(_repeat(value, position, count)):
            return count - 1
    return _MAX_REPETITIONS


def _repeat(value: str, position: _Position, count: int) -> str:
    """Return the value with the character of a position `count` times."""
    return value[: position.index] + position.character * count + value[position.index + 1 :]


def _vary_characters(value: str, is_match: IsMatch) -> Iterator[tuple[str, str]]:
    """Yield the value with a character beside a class, or another one for a dot."""
    tried: set[str] = set()
    for position in _list_positions(value, is_match):
        if position.character == "." and not position.is_class:
            characters = "x"
        elif position.is_class and position.accepted not in tried:
            characters = "".join(_list_outside(position.accepted))
        else:
            continue
        tried.add(position.accepted)
        for character in characters:
            changed = value[: position.index] + character + value[position.index + 1 :]
            yield f"{character} for {position.character}", changed


def _list_outside(accepted: str) -> Iterator[str]:
    """Yield characters beside a class: next to the ends of its ranges, of other ranges, others."""
    for letters in _RANGES:
        inside = [letter in accepted for letter in letters]
        if not any(inside):
            yield letters[0]
            continue
        edges = itertools.pairwise(zip(letters, inside, strict=True))
        for (letter, is_inside), (following, follows_inside) in edges:
            if is_inside != follows_inside:
                yield following if is_inside else letter
    yield from (character for character in "-_." if character not in accepted)


def _vary_lengths(value: str, is_match: IsMatch) -> Iterator[tuple[str, str]]:
    """Yield the value with one character too many or too few of a class, and with a tail."""
    for position in _list_classes(value, is_match):
        count = _count_repetitions(value, position, is_match)
        yield "one too many", _repeat(value, position, count + 1)
        yield "one too few", _repeat(value, position, 0)
    yield "with a dot after it", f"{value}.x"
