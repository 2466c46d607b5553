"""How many answers a weights check needs at most.

n_max is the smallest n for which the exact test of fixed size holds a tenth of alpha and a
tenth of beta for every version at once (statistics.md, section 1): whatever is undecided
there, that test decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from meshproof.verdict.binomial import (
    find_lower_critical,
    find_upper_critical,
    log_pmf,
    probability_at_least,
    probability_at_most,
)
from meshproof.verdict.settings import EPS

SEQUENTIAL = 0.9  # part of alpha and of beta spent on the way; the rest is spent at n_max


def count_clean_answers(share: float, beta: float) -> int:
    """Return how many answers without a version rule out that its share is `share` or more.

    Wrong at most `beta` of the time: (1 - share)^n <= beta. 688 for 0.01 and 1e-3.
    """
    return math.ceil(math.log(beta) / math.log1p(-share) - EPS)


@lru_cache(maxsize=256)
def compute_n_max(
    shares: tuple[float, ...], tolerance: float, leak: float, alpha: float, beta: float, sides: int
) -> int:
    """Return the largest number of answers that a weights check may take.

    shares: declared shares, sum 1. sides: number of nearest wrong splits, over which the
    fixed-size test spreads its alpha.
    """
    if max(shares) >= 1:
        return count_clean_answers(leak, beta)
    clean = count_clean_answers(leak, SEQUENTIAL * beta) if min(shares) <= 0 else 1
    versions = {share for share in shares if share > 0}
    if len(shares) == 2:
        versions = {min(versions)}
    spare = 1 - SEQUENTIAL
    return max(clean, find_fixed_size(versions, tolerance, spare * alpha / sides, spare * beta))


def find_fixed_size(shares: Iterable[float], tolerance: float, alpha: float, beta: float) -> int:
    """Return the smallest n whose exact test holds alpha per tail and beta for all shares.

    Feasibility is not monotone in n, because counts are whole numbers. It is for the
    randomised test (more answers never hurt it, Neyman-Pearson), which needs no more than
    the plain one: bisect for that, then walk up.
    """
    tails = []
    for share in shares:
        tails += [(share, share + tolerance), (1 - share, 1 - share + tolerance)]
    n = max(_find_randomised_size(p, q, alpha, beta) for p, q in tails)
    while not all(_is_feasible(n, p, q, alpha, beta) for p, q in tails):
        n += 1
    return n


def _is_feasible(n: int, p: float, q: float, alpha: float, beta: float) -> bool:
    """Return whether n answers tell p from q > p: P_q(X <= c) <= beta, P_p(X > c) <= alpha."""
    c = find_lower_critical(n, q, beta) if q < 1 - EPS else n - 1
    return probability_at_least(c + 1, n, p) <= alpha


def _find_randomised_size(p: float, q: float, alpha: float, beta: float) -> int:
    """Return the smallest n for which a randomised test tells share p from q > p."""
    if q >= 1 - EPS:
        return math.ceil(math.log(alpha) / math.log(p) - EPS)
    high = 1
    while _compute_miss_rate(high, p, q, alpha) > beta:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if _compute_miss_rate(middle, p, q, alpha) > beta:
            low = middle
        else:
            high = middle
    return high


def _compute_miss_rate(n: int, p: float, q: float, alpha: float) -> float:
    """Return the chance that the best test of level alpha against p misses a share q > p."""
    c, tail = find_upper_critical(n, p, alpha)
    on_edge = (alpha - tail) / math.exp(log_pmf(c, n, p))
    return probability_at_most(c - 1, n, q) + (1 - on_edge) * math.exp(log_pmf(c, n, q))
