"""Whether two samples of answers differ by more than chance (Fisher's exact test)."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

T = TypeVar("T")


def differs(first: Counter[T], second: Counter[T], alpha: float) -> bool:
    """Say whether two samples differ in the share of one answer (Fisher's exact test)."""
    answers = first | second
    sizes = first.total(), second.total()
    return len(answers) > 1 and any(
        compute_chance(first[answer], sizes[0], second[answer], sizes[1]) < alpha
        for answer in answers
    )


def compute_chance(count: int, size: int, other_count: int, other_size: int) -> float:
    """Return the chance that two equal shares give counts as far apart (two-sided)."""
    from scipy.stats import fisher_exact

    table = [[count, size - count], [other_count, other_size - other_count]]
    return float(fisher_exact(table).pvalue)
