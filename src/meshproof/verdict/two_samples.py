"""Whether two samples of answers differ by more than chance (Fisher's exact test)."""

from __future__ import annotations

import math
from collections import Counter
from typing import TypeVar

T = TypeVar("T")


def differs(first: Counter[T], second: Counter[T], alpha: float) -> bool:
    """Say whether two samples differ in the share of one answer (Fisher's exact test)."""
    sizes = first.total(), second.total()
    return any(
        compute_chance(first[answer], sizes[0], second[answer], sizes[1]) < alpha
        for answer in first | second
    )


def compute_chance(count: int, size: int, other_count: int, other_size: int) -> float:
    """Return the chance that two equal shares give counts as far apart (two-sided)."""
    total = count + other_count

    def weigh(value: int) -> float:
        return math.comb(size, value) * math.comb(other_size, total - value)

    observed = weigh(count)
    least, most = max(0, total - other_size), min(total, size)
    extreme = sum(
        weight for value in range(least, most + 1) if (weight := weigh(value)) <= observed
    )
    return extreme / math.comb(size + other_size, total)
