"""n_max and the binomial tails against scipy, which the engine itself does without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from meshproof.verdict.binomial import (
    find_lower_critical,
    find_upper_critical,
    log_pmf,
    probability_at_least,
    probability_at_most,
)
from meshproof.verdict.nmax import count_clean_answers, find_fixed_size
from meshproof.verdict.settings import Settings, read_shares
from meshproof.verdict.strikeoff import StrikeOff


def by_scipy(shares, tolerance, alpha, beta, top):
    """First n at which the exact fixed-size test is feasible, by brute force."""
    n = np.arange(1, top)
    ok = np.ones(top - 1, bool)
    for share in shares:
        for p, q in ((share, share + tolerance), (1 - share, 1 - share + tolerance)):
            if q < 1 - 1e-9:
                c = stats.binom.ppf(beta, n, q) - 1
                c = np.where(stats.binom.cdf(c + 1, n, q) <= beta, c + 1, c)
            else:
                c = n - 1
            ok &= stats.binom.sf(c, n, p) <= alpha
    assert ok.any()
    return int(n[ok.argmax()])


@pytest.mark.parametrize(
    ("weights", "tolerance", "n_max"),
    [
        ({"v1": 50, "v2": 50}, 0.05, 8906),
        ({"v1": 90, "v2": 10}, 0.05, 3821),
        ({"v1": 99, "v2": 1}, 0.05, 1902),
        ({"v1": 50, "v2": 50}, 0.10, 2206),
        ({"v1": 10, "v2": 90}, 0.10, 1086),
        ({"v1": 1, "v2": 99}, 0.10, 1902),
        ({"v1": 33, "v2": 33, "v3": 34}, 0.05, 8577),
        ({"v1": 33, "v2": 33, "v3": 34}, 0.10, 2190),
        ({"v1": 80, "v2": 10, "v3": 10}, 0.05, 6418),
        ({"v1": 0, "v2": 0, "v3": 100}, 0.05, 688),
    ],
)
def test_n_max_is_as_specified(strict, weights, tolerance, n_max):
    with_tolerance = Settings(tolerance=tolerance, alpha=strict.alpha, beta=strict.beta)
    assert StrikeOff(read_shares(weights), with_tolerance).n_max == n_max


@pytest.mark.parametrize(
    ("shares", "tolerance", "alpha", "beta"),
    [
        ((0.5,), 0.10, 5e-9, 1e-4),
        ((0.5,), 0.03, 5e-4, 1e-3),
        ((0.1,), 0.10, 5e-9, 1e-4),
        ((0.01,), 0.05, 5e-9, 1e-4),
        ((0.3,), 0.2, 2.5e-6, 1e-4),
        ((0.05,), 0.2, 1e-3, 0.02),
        ((0.33, 0.34), 0.10, 1e-9, 1e-4),
        ((0.8, 0.15, 0.05), 0.10, 1e-6, 1e-5),
        ((0.7, 0.3), 0.3, 1e-4, 1e-4),
    ],
)
def test_fixed_size_equals_brute_force(shares, tolerance, alpha, beta):
    found = find_fixed_size(shares, tolerance, alpha, beta)
    assert found == by_scipy(shares, tolerance, alpha, beta, found + 400)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.floats(0.001, 0.999), st.floats(0, 1))
def test_tails_equal_scipy(n, p, part):
    x = int(part * n)
    assert log_pmf(x, n, p) == pytest.approx(stats.binom.logpmf(x, n, p), rel=1e-9, abs=1e-9)
    assert probability_at_most(x, n, p) == pytest.approx(
        stats.binom.cdf(x, n, p), rel=1e-8, abs=1e-14
    )
    assert probability_at_least(x, n, p) == pytest.approx(
        stats.binom.sf(x - 1, n, p), rel=1e-8, abs=1e-14
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.floats(0.01, 0.99), st.floats(1e-9, 0.3))
def test_critical_counts_are_the_outermost(n, p, level):
    c, tail = find_upper_critical(n, p, level)
    assert tail == pytest.approx(stats.binom.sf(c, n, p), rel=1e-8, abs=1e-16)
    assert tail <= level < stats.binom.sf(c - 1, n, p) * (1 + 1e-8)
    low = find_lower_critical(n, p, level)
    assert stats.binom.cdf(low, n, p) <= level * (1 + 1e-8)
    assert stats.binom.cdf(low + 1, n, p) > level * (1 - 1e-8)


def test_tails_at_the_ends():
    assert (
        probability_at_most(-1, 5, 0.5),
        probability_at_most(5, 5, 0.5),
        probability_at_least(0, 5, 0.5),
    ) == (0.0, 1.0, 1.0)
    assert (probability_at_most(3, 5, 0.0), probability_at_most(3, 5, 1.0)) == (1.0, 0.0)
    assert log_pmf(5, 5, 1.0) == 0.0
    assert log_pmf(4, 5, 1.0) == -np.inf


@pytest.mark.parametrize(
    ("share", "beta", "n"),
    [
        (0.05, 0.05, 59), (0.05, 0.01, 90), (0.05, 1e-3, 135), (0.05, 1e-6, 270),
        (0.01, 0.05, 299), (0.01, 0.01, 459), (0.01, 1e-3, 688), (0.01, 1e-6, 1375),
        (0.001, 0.05, 2995), (0.001, 0.01, 4603), (0.001, 1e-3, 6905), (0.001, 1e-6, 13809),
    ],
)  # fmt: skip
def test_clean_answers_for_a_leak(share, beta, n):
    assert count_clean_answers(share, beta) == n
