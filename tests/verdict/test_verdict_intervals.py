"""Intervals for reports, against their definition and against statsmodels."""

from __future__ import annotations

import pytest
from scipy import stats
from statsmodels.stats import proportion

from meshproof.verdict import intervals, judge


@pytest.fixture
def half():
    return judge(["v1", "v1", "v2"] * 7 + ["v2"], {"v1": 50, "v2": 50})


def test_two_versions_get_exact_intervals(half):
    low, high = half.intervals(0.95)["v1"]
    assert (half.n, half.counts["v1"]) == (22, 14)
    oracle = proportion.proportion_confint(14, 22, alpha=0.05, method="beta")
    assert (low, high) == pytest.approx(oracle)
    assert stats.binom.sf(13, 22, low) == pytest.approx(0.025)  # Clopper and Pearson 1934
    assert stats.binom.cdf(14, 22, high) == pytest.approx(0.025)
    other = half.intervals(0.95)["v2"]
    assert other == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("count", "n", "alpha"),
    [(0, 7, 0.05), (7, 7, 0.05), (1, 2, 0.5), (3, 1000, 1e-9), (500_000, 1_000_000, 1e-3)],
)
def test_exact_intervals_are_those_of_statsmodels(count, n, alpha):
    rows = intervals._compute_clopper_pearson([count, n - count], n, alpha)
    low, high = proportion.proportion_confint(count, n, alpha=alpha, method="beta")
    assert rows == [
        pytest.approx((low, high), rel=1e-8, abs=1e-12),
        pytest.approx((1 - high, 1 - low), rel=1e-8, abs=1e-12),
    ]


def test_the_default_confidence_is_1_minus_beta(half):
    assert half.intervals() == half.intervals(0.999)


def test_three_versions_get_goodman_intervals():
    verdict = judge(["v1", "v2", "v3", "v3"] * 5, {"v1": 1, "v2": 1, "v3": 2})
    found = list(verdict.intervals(0.95).values())
    oracle = proportion.multinomial_proportions_confint([5, 5, 10], 0.05, method="goodman")
    assert found == [pytest.approx(tuple(row)) for row in oracle]


def test_a_version_alone_is_one_against_the_rest():
    """0 of 688 at alpha 2e-3 gives .00999 as upper limit (statistics.md, section 7)."""
    verdict = judge(["v3"] * 700, {"v1": 0, "v2": 0, "v3": 1})
    assert verdict.intervals(1 - 2e-3)["v1"] == pytest.approx((0.0, 0.00999), abs=5e-6)


def test_no_answers_say_nothing():
    verdict = judge([], {"v1": 50, "v2": 50})
    assert verdict.intervals() == {"v1": (0.0, 1.0), "v2": (0.0, 1.0)}


def test_a_confidence_out_of_range_is_refused(half):
    with pytest.raises(ValueError, match="confidence"):
        half.intervals(95)
