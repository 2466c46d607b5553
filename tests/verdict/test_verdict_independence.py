"""The independence e-values: figures of statistics.md, section 8, and what they catch."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import cycle, islice

import pytest

from meshproof.verdict import Outcome, Settings, judge
from meshproof.verdict.independence import Independence, measure_misfit

HALF = {"v1": 0.5, "v2": 0.5}
LIMIT = math.log(2e7)
BLOCKS = ["v1"] * 10 + ["v2"] * 10


def e_values(pattern, shares, n):
    found = Independence(shares)
    for version in islice(cycle(pattern), n):
        found.add([version])
    return found.log_evalues()


@pytest.mark.parametrize(
    ("pattern", "over", "under"),
    [(["v1", "v2"], -1.636733, 31.485015), (BLOCKS, 19.545853, -2.847684)],
)
def test_e_values_after_50_answers(pattern, over, under):
    assert e_values(pattern, HALF, 50) == pytest.approx((over, under), abs=1e-6)


@pytest.mark.parametrize(("pattern", "which", "n"), [(["v1", "v2"], 1, 30), (BLOCKS, 0, 50)])
def test_the_limit_is_first_reached_at(pattern, which, n):
    reached = [m for m in range(10, 110, 10) if e_values(pattern, HALF, m)[which] >= LIMIT]
    assert reached[0] == n


def test_round_robin_fails_although_the_shares_fit(strict):
    verdict = judge(islice(cycle(["v1", "v2"]), 999), HALF, replace(strict, look_every=10))
    assert (verdict.outcome, verdict.code, verdict.n) == (Outcome.FAILED, "round-robin", 30)
    assert "round robin, not the rule, makes the split" in verdict.reason
    assert verdict.reason.startswith("the shares fit but answers alternate more regularly")


def test_answers_in_runs_are_inconclusive(strict):
    verdict = judge(islice(cycle(BLOCKS), 999), HALF, replace(strict, look_every=10))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "correlated")
    assert verdict.n == 50


def test_switched_off_it_judges_shares_alone(strict):
    verdict = judge(islice(cycle(["v1", "v2"]), 9999), HALF, replace(strict, independence=False))
    assert (verdict.code, verdict.over, verdict.under) == ("struck-off", 0.0, 0.0)


@pytest.mark.parametrize("weights", [HALF, {"v1": 0.9, "v2": 0.1}, {"v1": 0.99, "v2": 0.01}])
def test_independent_answers_rarely_reach_any_limit(draws, figure, weights):
    """P(ever 100 within 1000 answers) <= 0.01; 300 runs, so at most 10 by 4 standard errors."""
    high = Counter({"over": 0, "under": 0})
    for seed in range(300):
        order = Independence(weights)
        top = [0.0, 0.0]
        for n, version in enumerate(islice(draws(weights, seed), 1000), 1):
            order.add([version])
            if n % 20 == 0:
                top = [max(pair) for pair in zip(top, order.log_evalues(), strict=True)]
        high["over"] += top[0] >= math.log(100)
        high["under"] += top[1] >= math.log(100)
    figure(f"e-values of 100 or more for {weights}: {dict(high)} of 300")
    assert max(high.values()) <= 10


def workers(versions, count, seed):
    """Round robin with one pointer per worker, as several connections give."""
    rng = random.Random(seed)
    turn = [rng.randrange(len(versions)) for _ in range(count)]
    while True:
        worker = rng.randrange(count)
        turn[worker] += 1
        yield versions[turn[worker] % len(versions)]


def pinned(shares, length, seed):
    """A new draw only every `length` answers, as a kept connection to one host gives."""
    rng = random.Random(seed)
    while True:
        (version,) = rng.choices(list(shares), list(shares.values()))
        yield from [version] * length


@pytest.mark.parametrize("count", [1, 2, 4])
def test_round_robin_over_workers_never_passes(strict, figure, count):
    settings = replace(strict, look_every=10)
    verdicts = [judge(workers(list(HALF), count, seed), HALF, settings) for seed in range(20)]
    figure(
        f"round robin, {count} workers: {sum(v.n for v in verdicts) / 20:.0f} answers on average"
    )
    assert {verdict.code for verdict in verdicts} == {"round-robin"}


@pytest.mark.parametrize("length", [2, 5, 10])
def test_pinned_connections_never_pass(strict, figure, length):
    settings = replace(strict, look_every=10)
    codes = Counter(judge(pinned(HALF, length, seed), HALF, settings).code for seed in range(40))
    figure(f"connections pinned for {length}: {dict(codes)}")
    assert set(codes) <= {"correlated", "wrong-split"}
    assert codes["correlated"] > codes["wrong-split"]


@pytest.mark.parametrize(
    ("expect", "true"),
    [
        ({"v1": 0.9, "v2": 0.1}, {"v1": 0.1, "v2": 0.9}),
        ({"v1": 0.99, "v2": 0.01}, {"v1": 0.5, "v2": 0.5}),
        ({"v1": 0.8, "v2": 0.1, "v3": 0.1}, {"v1": 1, "v2": 1, "v3": 1}),
        (HALF, {"v1": 0.95, "v2": 0.05}),
    ],
)
@pytest.mark.parametrize("look_every", [10, 50])
def test_wrong_shares_are_not_blamed_on_the_order(draws, expect, true, look_every):
    """Independent draws with wrong shares repeat more than declared: that is no correlation."""
    settings = Settings(look_every=look_every)
    codes = {judge(draws(true, seed), expect, settings).code for seed in range(60)}
    assert codes == {"wrong-split"}


def test_regular_answers_with_wrong_shares_say_so():
    verdict = judge(islice(cycle(["v1", "v2"]), 999), {"v1": 0.75, "v2": 0.25})
    assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "round-robin")
    assert verdict.reason.startswith("the shares fit badly, and answers alternate")


def test_regularity_that_wrong_shares_explain_is_a_wrong_split():
    verdict = judge(islice(cycle(["v1", "v2"]), 999), {"v1": 0.95, "v2": 0.05})
    assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "wrong-split")
    assert verdict.reason.startswith("v1 gave 50 % of 10 answers where 95 % was declared")
    text = verdict.paragraph()
    assert "442000 to 1 for round robin, where 40000 to 1 counts" in text
    assert "Wrong splits fit better" not in text


def test_misfit_is_the_log_odds_of_the_seen_shares():
    assert measure_misfit({"v1": 5, "v2": 5}, HALF) == 0.0
    assert measure_misfit({"v1": 10, "v2": 0}, HALF) == pytest.approx(10 * math.log(2))
    assert measure_misfit({"v1": 1, "v9": 1}, HALF) == math.inf
