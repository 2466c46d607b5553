"""The strike-off test against the exact figures of statistics.md, section 8."""

from __future__ import annotations

import math

import pytest

from meshproof.verdict import Outcome, Settings, judge
from meshproof.verdict.strikeoff import StrikeOff, list_wrong_splits

HALF = {"v1": 50, "v2": 50}
THIRDS = {"v1": 33, "v2": 33, "v3": 34}
ONLY_V3 = {"v1": 0, "v2": 0, "v3": 100}
PASSED, FAILED = Outcome.PASSED, Outcome.FAILED

EXACT = [
    ("half, all v1", HALF, ["v1"], {}, FAILED, 28),
    ("half, alternating", HALF, ["v1", "v2"], {}, PASSED, 1396),
    ("half, alternating, wide", HALF, ["v1", "v2"], {"tolerance": 0.10}, PASSED, 344),
    ("half, two to one", HALF, ["v1", "v1", "v2"], {}, FAILED, 341),
    ("90/10 kept", {"v1": 90, "v2": 10}, ["v1"] * 9 + ["v2"], {}, PASSED, 609),
    ("99/1 kept", {"v1": 99, "v2": 1}, ["v1"] * 99 + ["v2"], {}, PASSED, 171),
    ("99/1, all v1", {"v1": 99, "v2": 1}, ["v1"], {}, FAILED, 1753),
    ("thirds, rotating", THIRDS, ["v1", "v2", "v3"], {}, PASSED, 1617),
    ("thirds, one missing", THIRDS, ["v1", "v2"], {}, FAILED, 49),
    ("only v3, clean", ONLY_V3, ["v3"], {}, PASSED, 688),
    ("only v3, clean, nightly leak", ONLY_V3, ["v3"], {"leak": 0.001}, PASSED, 6905),
    ("only v3, a leak at the 10th", ONLY_V3, ["v3"] * 9 + ["v1"], {}, FAILED, 10),
    ("half, v3 as 3rd", HALF | {"v3": 0}, ["v1", "v2", "v3"], {}, FAILED, 3),
]


@pytest.mark.parametrize(("name", "expect", "pattern", "changes", "outcome", "n"), EXACT)
def test_decides_at_the_specified_answer(repeat, name, expect, pattern, changes, outcome, n):
    verdict = repeat(pattern, expect, **changes)
    assert (verdict.outcome, verdict.n) == (outcome, n), name


def test_log_odds_of_540_to_460(strict):
    test = StrikeOff({"v1": 0.5, "v2": 0.5}, strict)
    counts = {"v1": 540, "v2": 460}
    odds = {round(c.wrong.share, 2): c.log_odds(540, 1000) for c in test.candidates}
    assert odds[0.55] == pytest.approx(3.001660, abs=1e-6)
    assert odds[0.6] == pytest.approx(-4.192393, abs=1e-6)
    assert odds[0.45] == pytest.approx(-13.051996, abs=1e-6)
    assert odds[0.4] == pytest.approx(-36.629602, abs=1e-6)
    assert test.compute_evidence(counts, 1000) == pytest.approx(1.615553, abs=1e-6)
    assert test.look(counts, 1000) is None
    still_open = [round(s.share, 2) for s in test.splits() if s.nearest and not s.struck]
    assert still_open == [0.55]


def test_a_struck_split_stays_struck(strict):
    test = StrikeOff({"v1": 0.5, "v2": 0.5}, strict)
    test.look({"v1": 540, "v2": 460}, 1000)
    test.look({"v1": 545, "v2": 555}, 1100)
    struck = {round(s.share, 2) for s in test.splits() if s.struck and s.nearest}
    assert struck == {0.45}
    low = next(s for s in test.splits() if round(s.share, 2) == 0.45)
    assert low.log_odds == pytest.approx(13.051996, abs=1e-6)


def test_wrong_splits_double_their_distance_up_to_0_and_1():
    settings = Settings(tolerance=0.10, leak=0.02)
    found = [
        (round(s.share, 2), s.nearest) for s in list_wrong_splits({"a": 0.3, "b": 0.7}, settings)
    ]
    up = [(0.4, True), (0.5, False), (0.7, False), (1.0, False)]
    down = [(0.2, True), (0.1, False), (0.0, False)]
    assert found == up + down


def test_a_weight_below_the_tolerance_can_only_be_missing():
    settings = Settings(tolerance=0.10)
    shares = {"a": 0.05, "b": 0.25, "c": 0.7}
    found = [s.share for s in list_wrong_splits(shares, settings) if s.version == "a" and s.nearest]
    assert found == pytest.approx([0.15, 0.0])


def test_weight_0_is_tried_at_the_leak():
    settings = Settings(leak=0.02)
    shares = {"v1": 0.5, "v2": 0.5, "v3": 0.0}
    (leak,) = [split for split in list_wrong_splits(shares, settings) if split.version == "v3"]
    assert (leak.share, leak.nearest) == (0.02, True)


@pytest.mark.parametrize("weights", [{"v1": 0, "v2": 1}, {"v1": 7, "v2": 0}, {"only": 3}])
def test_one_version_alone_needs_the_same_answers_however_it_is_written(weights):
    alone = max(weights, key=lambda version: weights[version])
    assert judge([alone] * 800, weights).n == 688


def test_at_n_max_the_exact_test_decides_every_count():
    settings = Settings(tolerance=0.3, alpha=0.01, beta=0.01, look_every=1)
    test = StrikeOff({"v1": 0.5, "v2": 0.5}, settings)
    nearest = [c.wrong for c in test.candidates if c.wrong.nearest]
    n = test.n_max
    outcomes = [test.last_look({"v1": x, "v2": n - x}, n, nearest) for x in range(n + 1)]
    assert Outcome.INCONCLUSIVE not in outcomes
    passing = [x for x, outcome in enumerate(outcomes) if outcome is PASSED]
    assert passing == list(range(passing[0], passing[-1] + 1))
    assert 0 < passing[0] < n / 2 < passing[-1] < n


def test_evidence_is_an_e_value(strict):
    """Its mean under the declared shares is 1, summed over every count."""
    test = StrikeOff({"v1": 0.3, "v2": 0.7}, strict)
    n = 40
    mean = sum(
        math.comb(n, x)
        * 0.3**x
        * 0.7 ** (n - x)
        * math.exp(test.compute_evidence({"v1": x, "v2": n - x}, n))
        for x in range(n + 1)
    )
    assert mean == pytest.approx(1.0, abs=1e-9)
