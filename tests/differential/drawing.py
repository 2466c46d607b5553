"""Draws values for generated sets."""

from __future__ import annotations

import random
from typing import TypeVar

T = TypeVar("T")


class Drawer:
    """Draws values, and counts on them."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def pick(self, values: tuple[T, ...] | list[T]) -> T:
        """Return one of the values."""
        return self._source.choice(values)

    def chance(self, percent: int) -> bool:
        """Return True in so many of 100 draws."""
        return self._source.randrange(100) < percent

    def several(self, values: tuple[T, ...], least: int, most: int) -> list[T]:
        """Return some of the values, each at most once."""
        count = self._source.randint(least, most)
        return self._source.sample(values, min(count, len(values)))
