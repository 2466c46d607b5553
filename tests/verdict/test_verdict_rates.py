"""Error rates and costs, simulated: statistics.md, section 8, last paragraph.

2000 runs per point with fixed seeds. The runs use the limits of the real `StrikeOff`,
found by bisection at each n; some of them go through a real `Judge` to prove it the same.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from meshproof.verdict import Outcome, Settings, judge
from meshproof.verdict.strikeoff import StrikeOff

RUNS = 2000
LOOSE = {"alpha": 0.01, "beta": 0.01, "look_every": 1, "independence": False}

# declared share of v1, tolerance, n_max, then true share -> P(FAIL), E[N]
POINTS = [
    (0.5, 0.10, 1010, {0.50: (0.00848, 336.97), 0.55: (0.43403, 591.82)}),
    (0.5, 0.10, 1010, {0.60: (0.99144, 291.71), 0.40: (0.99144, 291.71)}),
    (0.1, 0.05, 1766, {0.10: (0.00750, 499.15), 0.125: (0.50468, 1027.67)}),
    (0.1, 0.05, 1766, {0.15: (0.99089, 480.53), 0.05: (0.99287, 357.90)}),
]


class Limits:
    """Per n: FAIL if x <= fail_low or x >= fail_high; struck if x <= upper, x >= lower."""

    def __init__(self, test: StrikeOff) -> None:
        self.test = test
        near = [c for c in test.candidates if c.wrong.nearest]
        above, below = sorted(near, key=lambda c: -c.wrong.share)
        rows = [self._row(n, above, below) for n in range(1, test.n_max + 1)]
        self.fail_low, self.fail_high, self.upper, self.lower = np.array(rows).T

    def _row(self, n, above, below):
        middle = round(n * self.test.shares["v1"])

        def fails(x):
            return self.test.compute_evidence({"v1": x, "v2": n - x}, n) >= self.test.fail_at

        def strikes(candidate, x):
            return candidate.log_odds(x, n) <= self.test.strike_at

        return (
            middle - first(lambda step: fails(middle - step), middle),
            middle + first(lambda step: fails(middle + step), n - middle),
            n - first(lambda step: strikes(above, n - step), n),
            first(lambda step: strikes(below, step), n),
        )


def first(holds, last):
    """Smallest step in 0..last from which `holds` is true, or last + 1."""
    low, high = -1, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def simulate(limits, answers):
    """Return outcome (1 = FAIL, 0 = PASS, -1 = neither) and n of each row of True = v1."""
    n_max = answers.shape[1]
    x = answers.cumsum(axis=1)

    def when(hit):
        return np.where(hit.any(axis=1), hit.argmax(axis=1), n_max)

    fail = when((x <= limits.fail_low) | (x >= limits.fail_high))
    passed = np.maximum(when(x <= limits.upper), when(x >= limits.lower))
    outcome = np.where(fail <= passed, 1, 0)
    open_rows = np.flatnonzero(np.minimum(fail, passed) == n_max)
    for row in open_rows:
        count = int(x[row, -1])
        near = [c.wrong for c in limits.test.candidates if c.wrong.nearest]
        struck = [(x[row] <= limits.upper).any(), (x[row] >= limits.lower).any()]
        near.sort(key=lambda wrong: -wrong.share)
        still = [wrong for wrong, gone in zip(near, struck, strict=True) if not gone]
        last = limits.test.last_look({"v1": count, "v2": n_max - count}, n_max, still)
        outcome[row] = {Outcome.FAILED: 1, Outcome.PASSED: 0}.get(last, -1)
    return outcome, np.minimum(np.minimum(fail, passed) + 1, n_max)


@pytest.mark.parametrize(("share", "tolerance", "n_max", "points"), POINTS)
def test_rates_and_cost_are_as_specified(figure, share, tolerance, n_max, points):
    settings = Settings(tolerance=tolerance, **LOOSE)
    expect = {"v1": share, "v2": 1 - share}
    test = StrikeOff(expect, settings)
    assert test.n_max == n_max
    limits = Limits(test)
    for true, (p_fail, mean) in points.items():
        rng = np.random.default_rng(round(1000 * true))
        answers = rng.random((RUNS, n_max)) < true
        outcome, n = simulate(limits, answers)
        found = (outcome == 1).mean()
        allowed = 4 * math.sqrt(p_fail * (1 - p_fail) / RUNS)
        figure(
            f"share {share} tolerance {tolerance} true {true}: P(FAIL) {found:.5f} "
            f"(exact {p_fail:.5f} +- {allowed:.5f}), E[N] {n.mean():.1f} (exact {mean:.1f})"
        )
        assert found == pytest.approx(p_fail, abs=allowed)
        assert n.mean() == pytest.approx(mean, rel=0.06)
        assert (outcome >= 0).all()
        for row in range(15):
            verdict = judge(np.where(answers[row], "v1", "v2").tolist(), expect, settings)
            assert verdict.n == n[row]
            assert (verdict.outcome is Outcome.FAILED) == (outcome[row] == 1)


def test_three_versions_cost_what_the_table_says(draws, figure):
    """33/33/34, tolerance 0.10, looks every 10: 564 at truth (table 2.2), here 200 runs."""
    settings = Settings(tolerance=0.10, alpha=1e-7, alpha_independence=1e-7)
    shares = {"v1": 0.33, "v2": 0.33, "v3": 0.34}
    verdicts = [judge(draws(shares, seed), shares, settings) for seed in range(200)]
    mean = sum(verdict.n for verdict in verdicts) / len(verdicts)
    figure(f"33/33/34 at truth: E[N] {mean:.1f} (table 564), {Counter(v.code for v in verdicts)}")
    assert all(verdict.holds for verdict in verdicts)
    assert mean == pytest.approx(564, rel=0.08)


FAULTS = [
    ("60/40", {"v1": 50, "v2": 50}, {"v1": 0.6, "v2": 0.4}, 0.10),
    ("55/45 at 0.05", {"v1": 50, "v2": 50}, {"v1": 0.55, "v2": 0.45}, 0.05),
    ("100/0", {"v1": 50, "v2": 50}, {"v1": 1.0}, 0.10),
    ("thirds for v3 only", {"v3": 100}, {"v1": 1, "v2": 1, "v3": 1}, 0.10),
    ("thirds for 50/50/0", {"v1": 50, "v2": 50, "v3": 0}, {"v1": 1, "v2": 1, "v3": 1}, 0.10),
    ("2 % leak", {"v3": 100}, {"v3": 0.98, "v1": 0.02}, 0.10),
    ("swapped", {"v1": 90, "v2": 10}, {"v1": 0.1, "v2": 0.9}, 0.10),
    ("weights ignored", {"v1": 80, "v2": 10, "v3": 10}, {"v1": 1, "v2": 1, "v3": 1}, 0.10),
]


@pytest.mark.parametrize(("name", "expect", "true", "tolerance"), FAULTS)
def test_a_planted_fault_fails(draws, figure, name, expect, true, tolerance):
    runs = 60
    settings = Settings(tolerance=tolerance)
    verdicts = [judge(draws(true, seed), expect, settings) for seed in range(runs)]
    codes = Counter(verdict.code for verdict in verdicts)
    figure(f"{name}: {dict(codes)}, {sum(v.n for v in verdicts) / runs:.0f} answers on average")
    assert all(verdict.outcome is Outcome.FAILED for verdict in verdicts)


def test_kept_promises_pass(draws, figure):
    shares = {"v1": 0.5, "v2": 0.5}
    verdicts = [judge(draws(shares, seed), shares) for seed in range(60)]
    figure(f"50/50 kept: {sum(v.n for v in verdicts) / 60:.0f} answers on average")
    assert all(verdict.holds for verdict in verdicts)
