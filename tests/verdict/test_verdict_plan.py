"""The cost of a check beforehand, against the exact table 2.1 of statistics.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshproof.verdict import PROFILES, Settings, judge, plan, recursion
from meshproof.verdict.planning import EXACT

# w, tolerance: truth, +d/2, +d, +2d, never, n_max, P(FAIL) at truth, P(PASS) at +d (table 2.1)
TABLE = [
    (0.50, 0.10, 482, 1597, 875, 228, 27, 2206, 8.8e-8, 9.0e-4),
    (0.10, 0.10, 193, 856, 399, 120, 168, 1086, 6.7e-8, 9.4e-4),
    (0.01, 0.05, 236, 1018, 308, 110, 1753, 1902, 5.6e-8, 8.8e-4),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_two_versions_are_exact(strict, figure, row):
    share, tolerance, *costs, n_max, p_fail, p_pass = row
    found = plan({"v1": 1 - share, "v2": share}, replace(strict, tolerance=tolerance))
    figure(str(found))
    assert [round(scenario.mean) for scenario in found.scenarios] == costs
    assert (found.n_max, found.limit) == (n_max, n_max)
    assert found.scenarios[0].fails == pytest.approx(p_fail, rel=0.02)
    assert found.scenarios[2].passes <= 1e-3
    if share == 0.5:
        assert found.scenarios[2].passes == pytest.approx(p_pass, rel=0.02)
    assert found.basis.startswith("exact")
    for scenario in found.scenarios:
        assert scenario.passes + scenario.fails == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("share", "tolerance", "fails", "means"),
    [
        (0.5, 0.10, (0.00848, 0.43403, 0.99144), (336.97, 591.82, 291.71)),
        (0.1, 0.05, (0.00750, 0.50468, 0.99089), (499.15, 1027.67, 480.53)),
    ],
)
def test_exact_figures_of_the_acceptance_list(share, tolerance, fails, means):
    loose = Settings(tolerance=tolerance, alpha=0.01, beta=0.01, look_every=1)
    found = plan({"v1": share, "v2": 1 - share}, loose).scenarios[:3]
    assert [scenario.fails for scenario in found] == pytest.approx(fails, abs=6e-6)
    assert [scenario.mean for scenario in found] == pytest.approx(means, abs=6e-3)


def test_a_third_version_with_weight_0_keeps_it_exact(draws):
    expect = {"v1": 50, "v2": 50, "v3": 0}
    found = plan(expect)
    assert found.basis.startswith("exact")
    truth = found.scenarios[0]
    settings = Settings(independence=False)
    runs = [judge(draws({"v1": 1, "v2": 1}, seed), expect, settings).n for seed in range(150)]
    assert min(runs) >= 698  # ln(0.9e-3) / ln(0.99)
    assert sum(runs) / len(runs) == pytest.approx(truth.mean, rel=0.03)


def test_batches_of_10_cost_some_35_answers_more(strict):
    wide = replace(strict, tolerance=0.10)
    one, ten = (plan({"v1": 1, "v2": 1}, replace(wide, look_every=k)) for k in (1, 10))
    more = ten.scenarios[0].mean - one.scenarios[0].mean
    assert 5 < more < 40


def test_three_versions_are_estimated_and_say_so(strict):
    found = plan({"v1": 33, "v2": 33, "v3": 34}, replace(strict, tolerance=0.10, look_every=10))
    assert found.basis.startswith("estimates")
    assert "estimates" in str(found)
    assert found.n_max == 2190
    truth, half, full, double, never = (scenario.mean for scenario in found.scenarios)
    # Monte Carlo of table 2.2: 564, 1684, 871, 242; missing 50
    assert truth == pytest.approx(564, rel=0.25)
    assert half == pytest.approx(1684, rel=0.15)
    assert full == pytest.approx(871, rel=0.10)
    assert double == pytest.approx(242, rel=0.10)
    assert never == 50


def test_one_version_alone_is_exact():
    clean, leak = plan({"v3": 1}, Settings(look_every=1)).scenarios
    assert (clean.mean, clean.passes, clean.fails) == (688, 1.0, 0.0)
    assert leak.mean == pytest.approx(99.9, abs=0.1)  # (1 - .99^688) / .01
    assert leak.passes == pytest.approx(1e-3, rel=0.01)


def test_presence_is_exact_for_equal_shares(draws):
    names = ["v1", "v2", "v3"]
    found = plan(names)
    there, missing = found.scenarios
    runs = [judge(draws(dict.fromkeys(names, 1), seed), names).n for seed in range(100)]
    assert sum(runs) / len(runs) == pytest.approx(there.mean, rel=0.02)
    assert (missing.mean, missing.fails, found.n_max) == (105, 1.0, 105)


def test_a_budget_leaves_some_undecided():
    found = plan({"v1": 1, "v2": 1}, Settings(budget=300))
    truth = found.scenarios[0]
    assert (found.limit, found.n_max) == (300, 1695)
    assert truth.mean <= 300
    assert truth.passes + truth.fails < 0.5
    assert "here 300 by budget" in str(found)
    assert plan({"v1": 1}, Settings(budget=300)).scenarios[0].passes == 0.0
    assert plan(["v1", "v2"], Settings(budget=50)).scenarios[0].passes == 0.0


@pytest.mark.parametrize(("share", "tolerance"), [(0.5, 0.10), (0.1, 0.10), (0.01, 0.05)])
def test_a_kept_promise_costs_the_judge_what_is_specified(draws, strict, figure, share, tolerance):
    """The mean of 500 runs is within 5 % of the exact one, which is that of table 2.1 (above)."""
    settings = replace(strict, tolerance=tolerance, look_every=10, independence=False)
    expect = {"v1": 1 - share, "v2": share}
    exact = plan(expect, settings).scenarios[0].mean
    runs = [judge(draws(expect, seed), expect, settings).n for seed in range(500)]
    mean = sum(runs) / len(runs)
    figure(f"{share:g}, tolerance {tolerance}: mean {mean:.1f} of 500 runs, exact {exact:.1f}")
    assert mean == pytest.approx(exact, rel=0.05)


def test_the_plan_agrees_with_the_judge(draws):
    """Gate settings, off by twice the tolerance: 160 answers."""
    found = plan({"v1": 1, "v2": 1}).scenarios[3]
    settings = Settings(independence=False)
    runs = [
        judge(draws({"v1": 7, "v2": 3}, seed), {"v1": 1, "v2": 1}, settings).n
        for seed in range(200)
    ]
    assert sum(runs) / len(runs) == pytest.approx(found.mean, rel=0.12)


def test_a_very_long_check_is_estimated_by_rarer_looks(monkeypatch) -> None:
    exact = plan({"v1": 50, "v2": 50}, Settings(tolerance=0.05))
    monkeypatch.setattr(recursion, "_MOST_LOOKS", 500)
    estimate = plan({"v1": 50, "v2": 50}, Settings(tolerance=0.05))
    assert (exact.basis, estimate.basis) == (EXACT, "estimates, as if it looked each 30 answers")
    for sure, close in zip(exact.scenarios, estimate.scenarios, strict=True):
        assert close.mean == pytest.approx(sure.mean, rel=0.02, abs=40)
        assert close.passes == pytest.approx(sure.passes, rel=0.02, abs=1e-4)
        assert close.fails == pytest.approx(sure.fails, rel=0.02, abs=1e-4)


def test_a_plan_of_a_million_answers_takes_seconds() -> None:
    """Exact looks would take minutes for half a point, and days for the least tolerance."""
    found = plan({"v1": 50, "v2": 50}, Settings(tolerance=0.005))
    assert found.n_max == 686_279
    truth, *_ = found.scenarios
    assert (round(truth.passes, 4), 150_000 < truth.mean < 250_000) == (1.0, True)


@pytest.mark.parametrize(
    ("weights", "requests", "most"),
    [({"v1": 90, "v2": 10}, (741, 951), 2955), ({"v1": 99, "v2": 1}, (8079, 10447), 33328)],
    ids=["90/10", "99/1"],
)
def test_a_small_share_costs_what_the_recursion_says(weights, requests, most):
    """By default: at truth, and where the share is half as much again; both by the recursion."""
    found = plan(weights, PROFILES["gate"].with_expected(weights))
    truth, _, off, *_ = found.scenarios
    assert (round(truth.mean), round(off.mean)) == requests
    assert found.n_max == most
    assert truth.fails <= 5e-5
    assert off.passes <= 1e-3
