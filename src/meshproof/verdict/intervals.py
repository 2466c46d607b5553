"""Confidence intervals for display; statsmodels is imported where three versions ask for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshproof.verdict.binomial import probability_at_least
from meshproof.verdict.phrases import find_only_version

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def name_method(verdict: Verdict) -> str:
    """Return the name of the interval used.

    Clopper-Pearson (exact) where the question is one version against the rest: two
    versions, or one that is promised alone. Else Goodman (simultaneous).
    """
    exact = len(verdict.counts) <= 2 or find_only_version(verdict.expected)
    return "Clopper-Pearson" if exact else "Goodman"


def compute_share_intervals(
    verdict: Verdict, confidence: float | None = None
) -> dict[str, tuple[float, float]]:
    """Return (low, high) of each version's share, 0 to 1.

    For display only: they take n as fixed, while the verdict rests on odds that allow for
    stopping early. confidence: 0 to 1; by default 1 - beta, so that a pass and its interval
    speak of the same risk. Raises ValueError for a confidence out of range.
    """
    confidence = 1 - verdict.settings.beta if confidence is None else confidence
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if not verdict.n:
        return dict.fromkeys(verdict.counts, (0.0, 1.0))
    counts, alpha = list(verdict.counts.values()), 1 - confidence
    rows = (
        _compute_clopper_pearson(counts, verdict.n, alpha)
        if name_method(verdict) == "Clopper-Pearson"
        else _compute_goodman(counts, alpha)
    )
    return dict(zip(verdict.counts, rows, strict=True))


def _compute_clopper_pearson(counts: list[int], n: int, alpha: float) -> list[tuple[float, float]]:
    """Return the exact interval of each count of n (Clopper and Pearson 1934), alpha / 2 a side."""
    return [
        (_find_lower_end(count, n, alpha / 2), 1 - _find_lower_end(n - count, n, alpha / 2))
        for count in counts
    ]


@functools.lru_cache(maxsize=4096)  # a report asks for each end several times
def _find_lower_end(count: int, n: int, level: float) -> float:
    """Return the share p, 0 to 1, at which `count` of n or more has the probability `level`.

    Found by halving, as this probability grows with p. Importing statsmodels for it took four
    seconds of processor time, more than a whole check.
    """
    if not count:
        return 0.0
    low, high = 0.0, count / n
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if probability_at_least(count, n, middle) < level:
            low = middle
        else:
            high = middle
    return low


def _compute_goodman(counts: list[int], alpha: float) -> list[tuple[float, float]]:
    # statsmodels has no types; its import takes 2 s
    from statsmodels.stats.proportion import multinomial_proportions_confint

    rows = multinomial_proportions_confint(counts, alpha=alpha, method="goodman")
    return [(max(0.0, float(low)), min(1.0, float(high))) for low, high in rows]


def compute_time_uniform_interval(count: int, n: int, alpha: float) -> tuple[float, float]:
    """Return (low, high) of a share, 0 to 1, that holds at every n at once, but for `alpha`.

    So it may be looked at after each run, for as long as one likes. It has all shares against which
    a mixture of the others (uniform prior) has odds below 1 / alpha: Ville's inequality; Robbins,
    "Statistical methods related to the law of the iterated logarithm", 1970.
    """
    if not n:
        return 0.0, 1.0
    mixture = math.lgamma(count + 1) + math.lgamma(n - count + 1) - math.lgamma(n + 2)

    def is_held(share: float) -> bool:
        """Say whether the interval has the share."""
        if (share <= 0 and count) or (share >= 1 and count < n):
            return False
        hits = count * math.log(share) if count else 0.0
        misses = (n - count) * math.log1p(-share) if count < n else 0.0
        return mixture - hits - misses < -math.log(alpha)

    return _find_border(is_held, count / n, 0.0), _find_border(is_held, count / n, 1.0)


def _find_border(is_held: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return where an interval ends on the way from a share inside to one that may be outside."""
    if is_held(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_held(middle) else (inside, middle)
    return outside
