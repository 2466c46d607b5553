"""The comparison check: its tails against scipy, its error rates, and what it says."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from meshproof.verdict import Baseline, Outcome, Settings, Verdict, judge, replay
from meshproof.verdict.comparison import (
    CAUGHT,
    Comparison,
    compute_fisher_tail,
    count_baseline_answers,
    find_lower_limit,
    find_upper_limit,
)

ALPHA = Settings(alpha=1.7e-6)
SIZE = count_baseline_answers(ALPHA.beta)
THIRDS = {"v1": SIZE - 2 * (SIZE // 3), "v2": SIZE // 3, "v3": SIZE // 3}


@pytest.mark.parametrize("counts", [(126, 377, 200, 377), (5, 50, 1, 40), (0, 30, 9, 30)])
def test_the_tail_is_that_of_fishers_exact_test(counts: tuple[int, int, int, int]) -> None:
    before, total, after, n = counts
    table = [[after, n - after], [before, total - before]]
    expected = min(stats.fisher_exact(table, side).pvalue for side in ("less", "greater"))
    assert compute_fisher_tail(*counts) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "n"), [(126, 377), (0, 50), (50, 50), (1, 400)])
def test_the_limits_are_those_of_clopper_and_pearson(count: int, n: int) -> None:
    level = 5e-4
    upper = stats.beta.ppf(1 - level, count + 1, n - count) if count < n else 1.0
    lower = stats.beta.ppf(level, count, n - count + 1) if count else 0.0
    assert find_upper_limit(count, n, level) == pytest.approx(upper, abs=1e-9)
    assert find_lower_limit(count, n, level) == pytest.approx(lower, abs=1e-9)


def draw(generator: random.Random, weights: tuple[float, float, float]) -> dict[str, int]:
    answers = generator.choices(("v1", "v2", "v3"), weights, k=SIZE)
    return {version: answers.count(version) for version in ("v1", "v2", "v3")}


@pytest.mark.parametrize(
    ("before", "after", "outcome", "least"),
    [
        ((1, 1, 1), (1, 1, 1), Outcome.PASSED, 0.995),
        ((8, 1, 1), (8, 1, 1), Outcome.PASSED, 0.995),
        ((1, 1, 1), (1, 1, 4), Outcome.FAILED, 0.995),
        ((1, 1, 1), (1, 0, 2), Outcome.FAILED, 0.995),
    ],
    ids=["even", "uneven", "half moved to v3", "v2 moved to v3"],
)
def test_the_rates(
    before: tuple[float, float, float],
    after: tuple[float, float, float],
    outcome: Outcome,
    least: float,
) -> None:
    generator, runs = random.Random(11), 300
    outcomes = []
    for _ in range(runs):
        comparison = Comparison(Baseline(draw(generator, before)), ALPHA)
        outcomes.append(comparison.look(draw(generator, after), SIZE))
    assert outcomes.count(outcome) / runs >= least
    wrong = Outcome.FAILED if outcome is Outcome.PASSED else Outcome.PASSED
    assert outcomes.count(wrong) == 0


def test_a_level_of_false_alarms_is_kept() -> None:
    """At alpha = 5 % fewer than 5 % of equal samples fail: the test is exact, so never too bold."""
    generator, settings = random.Random(12), Settings(alpha=0.05)
    fails = 0
    for _ in range(400):
        comparison = Comparison(Baseline(draw(generator, (1, 1, 1))), settings)
        fails += comparison.look(draw(generator, (1, 1, 1)), SIZE) is Outcome.FAILED
    assert fails <= 20


def test_equal_shares_are_inconclusive_less_than_once_in_a_million() -> None:
    """Chance takes versions that stay as they were so far apart once in 3 million meshes."""
    share = SIZE / 3
    deviation = 5.3 * (2 * share * 2 / 3) ** 0.5
    before, after = round(share - deviation / 2), round(share + deviation / 2)
    baseline = Baseline({"v1": before, "v2": SIZE - before})
    same = labels({"v1": after, "v2": SIZE - after})
    assert judge(same, baseline, Settings(alpha=1e-9)).code == "unmoved"


def labels(counts: dict[str, int]) -> list[str]:
    return [version for version, count in counts.items() for _ in range(count)]


def test_a_version_that_did_not_answer_before_fails_once_it_is_frequent() -> None:
    baseline = Baseline({"v1": SIZE - 10, "v2": 10, "v3": 0})
    moved = labels({"v1": SIZE - 110, "v2": 10, "v4": 100})
    verdict = judge(moved, baseline, ALPHA)
    assert verdict.code == "moved"
    assert verdict.reason.startswith("v4 gave 19")
    assert judge(labels({"v1": SIZE - 11, "v2": 10, "v4": 1}), baseline, ALPHA).holds


def test_what_it_says_and_that_it_can_be_replayed() -> None:
    moved = {"v1": SIZE // 6, "v2": SIZE // 6, "v3": SIZE - 2 * (SIZE // 6)}
    verdict = judge(labels(moved), Baseline(THIRDS), ALPHA)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "v3 gave 66.7 % of 511 answers, and 33.3 % of as many before"
    assert str(verdict).endswith("a false alarm at most 1 time in 580000]")
    stored = Verdict.from_dict(verdict.to_dict())
    assert replay(stored) == verdict == stored
    same = judge(labels(THIRDS), Baseline(THIRDS), ALPHA)
    assert same.holds
    assert same.n == same.n_max == SIZE
    assert "a share off by 33.3 points or more is ruled out" in str(same)
    assert same.paragraph().startswith("Promised: v1 33.5 %, v2 33.3 %, v3 33.3 %, as before.")


def test_too_few_answers_are_inconclusive() -> None:
    verdict = judge(labels(THIRDS)[:-1], Baseline(THIRDS), ALPHA)
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "budget")
    small = judge(["v1", "v2"] * 10, Baseline({"v1": 10, "v2": 10}), ALPHA)
    assert (small.outcome, small.code) == (Outcome.INCONCLUSIVE, "unclear")
    assert 0 < CAUGHT < 1


@pytest.mark.parametrize("counts", [{}, {"v1": 0}, {"v1": 2, "v2": -1}])
def test_no_baseline(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a baseline needs answers"):
        Baseline(counts)
