"""How answers are taken: batches, unnamed answers, budgets, nothing at all."""

from __future__ import annotations

from itertools import cycle, islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.verdict import (
    PROFILES,
    Judge,
    Outcome,
    Settings,
    judge,
    replay,
    share_alpha,
)

HALF = {"v1": 50, "v2": 50}
ONLY_V3 = {"v1": 0, "v2": 0, "v3": 100}
LOOSE = Settings(tolerance=0.3, alpha=0.01, alpha_independence=0.01, beta=0.05, leak=0.1)

LABELS = st.lists(st.sampled_from(["v1", "v1", "v2", "v2", "v3", "v9", None]), max_size=150)
EXPECT = st.sampled_from(
    [HALF, {"v1": 45, "v2": 45, "v3": 10}, {"v1": 1}, {"v1": 50, "v2": 50, "v3": 0}, ["v1", "v2"]]
)
LOOKS = st.sampled_from([1, 3, 10])


def settings_with(look_every):
    return Settings(
        tolerance=0.3, alpha=0.01, alpha_independence=0.01, beta=0.05, leak=0.1,
        present=0.3, look_every=look_every, unnamed_budget=0.3,
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(LABELS, EXPECT, LOOKS, st.lists(st.integers(0, 20), max_size=20))
def test_batches_may_be_cut_anywhere(labels, expect, look_every, cuts):
    one_by_one = Judge(expect, settings_with(look_every))
    for label in labels:
        one_by_one.feed([label])
    cut = Judge(expect, settings_with(look_every))
    source = iter(labels)
    for size in cuts:
        cut.feed(list(islice(source, size)))
    cut.feed(source)
    assert cut.verdict() == one_by_one.verdict()
    assert cut.verdict() == judge(labels, expect, settings_with(look_every))


@settings(max_examples=150, deadline=None)
@given(LABELS, EXPECT, LOOKS)
def test_a_replay_gives_the_same_verdict(labels, expect, look_every):
    verdict = judge(labels, expect, settings_with(look_every))
    assert replay(verdict) == verdict
    assert verdict.n + verdict.unnamed == len(verdict.labels)
    assert sum(verdict.counts.values()) == verdict.n


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), EXPECT, LOOKS)
def test_nothing_never_passes(unnamed, expect, look_every):
    verdict = judge([None] * unnamed, expect, settings_with(look_every))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not verdict.holds
    assert verdict.code == ("errors" if unnamed else "empty")
    assert verdict.n == 0


def test_asking_for_a_verdict_changes_nothing():
    asked, silent = Judge(HALF, LOOSE), Judge(HALF, LOOSE)
    for label in ["v1", "v2", "v2"] * 40:
        asked.verdict()
        asked.feed([label])
        silent.feed([label])
    assert asked.verdict() == silent.verdict()


def test_answers_are_pulled_lazily_and_only_in_batches(draws):
    pulled = 0

    def counting():
        nonlocal pulled
        for label in draws({"v1": 1.0}, 1):
            pulled += 1
            yield label

    verdict = judge(counting(), HALF)
    assert verdict.n == pulled == 20


def test_answers_after_the_decision_are_not_taken():
    judging = Judge(HALF, Settings(look_every=1))
    verdict = judging.feed(["v1"] * 100)
    assert verdict is not None
    assert len(verdict.labels) == verdict.n < 100
    assert judging.feed(["v2"] * 50) is verdict


def test_the_last_incomplete_batch_counts_when_the_labels_run_out():
    verdict = judge(["v3"] * 3 + ["v1"], ONLY_V3)
    assert (verdict.code, verdict.n) == ("weight-zero", 4)


class TestUnnamed:
    def test_one_is_too_many_where_a_share_is_0(self):
        verdict = judge(["v3"] * 15 + [None] + ["v3"] * 700, ONLY_V3)
        assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "errors")
        assert (verdict.n, verdict.unnamed, len(verdict.labels)) == (19, 1, 20)

    def test_a_budget_does_not_change_that(self):
        verdict = judge([None] + ["v3"] * 700, ONLY_V3, Settings(unnamed_budget=0.5))
        assert verdict.code == "errors"

    def test_a_certain_failure_wins(self):
        verdict = judge([None] * 9 + ["v1"], ONLY_V3)
        assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "weight-zero")

    def test_one_is_let_through_elsewhere(self, draws):
        labels = [None, *islice(draws({"v1": 1, "v2": 1}, 3), 2000)]
        verdict = judge(labels, HALF)
        assert verdict.holds
        assert verdict.unnamed == 1
        assert "and 1 that named no version" in str(verdict)

    def test_the_default_budget_is_a_tenth_of_the_tolerance(self, draws):
        def every(step):
            for n, label in enumerate(draws({"v1": 1, "v2": 1}, 3)):
                yield None if n % step == 7 else label

        assert judge(every(120), HALF).holds
        assert judge(every(60), HALF).code == "errors"

    def test_errors_alone_stop_early(self):
        verdict = judge([None] * 5000, HALF)
        assert (verdict.code, len(verdict.labels)) == ("errors", 20)

    def test_a_version_that_only_errors_is_no_wrong_split(self):
        verdict = judge(["v1", None] * 500, HALF)
        assert verdict.code == "errors"

    def test_a_count_as_budget(self):
        labels = [None] * 3 + ["v1"] * 60
        assert judge(labels, HALF, Settings(unnamed_budget=3)).code == "wrong-split"
        assert judge(labels, HALF, Settings(unnamed_budget=2)).code == "errors"

    def test_an_empty_label_names_no_version(self):
        verdict = judge(["", "v1"], HALF)
        assert (verdict.unnamed, verdict.labels) == (1, (None, "v1"))


class TestBudget:
    def test_a_lower_budget_makes_inconclusive_possible(self, draws):
        verdict = judge(draws({"v1": 1, "v2": 1}, 1), HALF, Settings(budget=125))
        assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "budget")
        assert (verdict.n, verdict.n_max) == (125, 1695)
        assert "v1/v2 at" in verdict.reason

    def test_what_it_has_ruled_out_is_said(self, draws):
        expect = {"v1": 90, "v2": 10}
        settings = Settings(budget=500, tolerance=0.05, independence=False)
        verdict = judge((["v1"] * 9 + ["v2"]) * 50, expect, settings)
        assert verdict.reason == (
            "500 answers were not enough to rule out v1/v2 at 85/15 (ruled out so far: v1/v2 at "
            "95/5); 2955 always are"
        )

    def test_a_higher_budget_changes_nothing(self, draws):
        free = judge(draws({"v1": 1, "v2": 1}, 1), HALF)
        assert judge(draws({"v1": 1, "v2": 1}, 1), HALF, Settings(budget=10**6)).n == free.n

    def test_a_gross_fault_fails_within_it(self):
        assert judge(["v1"] * 100, HALF, Settings(budget=30)).code == "wrong-split"


def test_an_undeclared_version_fails():
    verdict = judge(["v1", "v2", "v7"] * 10, HALF)
    assert (verdict.code, verdict.n) == ("undeclared", 10)
    assert verdict.counts["v7"] == 3


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "no weights declared"),
        ({"v1": -1, "v2": 2}, "weight of v1 must be 0 or more"),
        ({"v1": float("nan")}, "weight of v1 must be 0 or more"),
        ({"v1": float("inf")}, "weight of v1 must be 0 or more"),
        ({"v1": 0, "v2": 0}, "all weights are 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        Judge(weights)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tolerance": 0}, {"tolerance": 1}, {"leak": -0.1}, {"alpha": 0}, {"beta": 1},
        {"alpha_independence": 2}, {"present": 0}, {"look_every": 0}, {"budget": 0},
        {"unnamed_budget": -1}, {"tolerance": float("nan")},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_alpha_is_shared_over_all_checks():
    assert share_alpha(1e-4, 1) == (5e-5, 5e-5)
    assert share_alpha(1e-4, 500) == pytest.approx((1e-7, 1e-7))
    with pytest.raises(ValueError, match="1 check or more"):
        share_alpha(1e-4, 0)
    with pytest.raises(ValueError, match="alpha_run"):
        share_alpha(0, 1)


def test_profiles_have_the_specified_defaults():
    gate, nightly = PROFILES["gate"], PROFILES["nightly"]
    assert (gate.tolerance, gate.leak, gate.beta) == (0.10, 0.01, 1e-3)
    assert (nightly.tolerance, nightly.leak, nightly.beta) == (0.05, 0.001, 1e-3)
    assert gate.look_every == nightly.look_every == 10
    assert (gate.alpha, gate.alpha_independence) == share_alpha(1e-4, 1)


def test_looks_get_rarer_but_stay_at_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    judging = Judge(HALF, Settings(tolerance=0.002, look_every=10, independence=False))
    look = judging.test.look
    looks: list[int] = []

    def count_look(counts: dict[str, int], n: int) -> Any:
        looks.append(n)
        return look(counts, n)

    monkeypatch.setattr(judging.test, "look", count_look)
    judging.feed(islice(cycle(["v1", "v2", "v2", "v1"]), 300_000))
    steps = [after - before for before, after in pairwise([0, *looks])]
    assert {step % 10 for step in steps} == {0}
    assert {step for n, step in zip(looks, steps, strict=True) if n <= 20_000} == {10}
    assert max(step / n for n, step in zip(looks, steps, strict=True) if n > 20_000) <= 0.001
    assert len(looks) < 6000, "every look costs: 30 000 of them took most of the time"
