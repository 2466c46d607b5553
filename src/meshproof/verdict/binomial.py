"""Exact binomial tails without scipy, whose import costs more than a whole check.

X ~ Bin(n, p) throughout. Sums run from the small end, term by term, so that tails of
1e-9 keep about ten digits. tests/verdict/test_nmax.py holds them against scipy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

_NEGLIGIBLE = 45.0  # e^-45 = 3e-20: what lies beyond cannot change a tail in a double


def log_pmf(x: int, n: int, p: float) -> float:
    """Return ln P(X = x); -inf where that is impossible. 0 <= x <= n, 0 <= p <= 1."""
    if p <= 0 or p >= 1:
        return 0.0 if x == (n if p >= 1 else 0) else -math.inf
    choose = math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)
    return choose + x * math.log(p) + (n - x) * math.log1p(-p)


def probability_at_most(x: int, n: int, p: float) -> float:
    """Return P(X <= x) for any integer x, 0 to 1."""
    if x < 0:
        return 0.0
    if x >= n:
        return 1.0
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 else 0.0
    if x > n * p:
        return 1.0 - probability_at_most(n - x - 1, n, 1 - p)
    return math.fsum(_iter_lower_probabilities(x, n, p))


def probability_at_least(x: int, n: int, p: float) -> float:
    """Return P(X >= x) for any integer x, 0 to 1."""
    return probability_at_most(n - x, n, 1 - p)


def _iter_lower_probabilities(x: int, n: int, p: float) -> Iterator[float]:
    """Yield P(X = x), P(X = x-1), ... until nothing that matters is left; x <= n*p."""
    term = math.exp(log_pmf(x, n, p))
    odds = (1 - p) / p
    floor = term * math.exp(-_NEGLIGIBLE)
    while term > floor:
        yield term
        term *= x / (n - x + 1) * odds
        x -= 1


def find_upper_critical(n: int, p: float, level: float) -> tuple[int, float]:
    """Return the smallest c with P(X > c) <= level, and that tail. 0 < p < 1, 0 < level < 1."""
    c = _find_far_end(n, p, math.log(level) - _NEGLIGIBLE)
    term = math.exp(log_pmf(c, n, p))
    tail, odds = 0.0, (1 - p) / p
    while tail + term <= level:
        tail += term
        term *= c / (n - c + 1) * odds
        c -= 1
    return c, tail


def find_lower_critical(n: int, p: float, level: float) -> int:
    """Return the largest c with P(X <= c) <= level (-1: none). 0 < p < 1, 0 < level < 1."""
    return n - 1 - find_upper_critical(n, 1 - p, level)[0]


def _find_far_end(n: int, p: float, log_floor: float) -> int:
    """Return the first x above the mode with ln P(X = x) <= log_floor, or n if there is none."""
    low, high = int(n * p), n
    while high - low > 1:
        middle = (low + high) // 2
        if log_pmf(middle, n, p) > log_floor:
            low = middle
        else:
            high = middle
    return high


def log_sum(logs: Sequence[float]) -> float:
    """Return ln of the sum of e^x; -inf for nothing but -inf."""
    top = max(logs)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(x - top) for x in logs))
