"""The presence check: each version is seen and no other (statistics.md, section 3)."""

from __future__ import annotations

from itertools import cycle, islice

import pytest

from meshproof.verdict import Judge, Outcome, Settings, judge

NAMES = ["v1", "v2", "v3"]


@pytest.mark.parametrize(("alpha", "n"), [(5e-5, 105), (2.5e-6, 133), (1e-7, 164)])
def test_an_unseen_version_fails_after_the_specified_answers(alpha, n):
    settings = Settings(alpha=alpha, look_every=1)
    verdict = judge(islice(cycle(["v1", "v2"]), 1000), NAMES, settings)
    assert (verdict.outcome, verdict.code, verdict.n) == (Outcome.FAILED, "missing", n)
    assert verdict.reason.startswith(f"v3 never answered in {n} answers")


def test_all_seen_passes_once_a_stranger_is_ruled_out(draws):
    verdict = judge(draws(dict.fromkeys(NAMES, 1), 1), NAMES, Settings(look_every=1))
    assert (verdict.code, verdict.n) == ("all-seen", 66)  # 0.9^66 <= 1e-3
    ((what, odds),) = verdict.ruled_out()
    assert what == "another version getting 10 %"
    assert odds >= 1000
    assert not verdict.not_ruled_out()


def test_a_late_version_still_passes():
    verdict = judge(["v1", "v2"] * 45 + ["v3"] * 10, NAMES)
    assert (verdict.code, verdict.n) == ("all-seen", 100)


def test_a_stranger_fails_at_the_end_of_its_batch():
    judging = Judge(NAMES)
    assert judging.feed(["v1", "v2", "v4"]) is None
    verdict = judging.feed(["v3"] * 7)
    assert verdict is not None
    assert (verdict.code, verdict.n) == ("undeclared", 10)
    assert verdict.reason == "v4 gave 1 of 10 answers though it is not declared"


def test_too_few_answers_are_inconclusive():
    verdict = judge(NAMES * 3, NAMES)
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "budget")
    assert verdict.not_ruled_out()
    assert not verdict.ruled_out()


def test_a_small_budget_is_inconclusive():
    verdict = judge(islice(cycle(["v1", "v2"]), 1000), NAMES, Settings(budget=55))
    assert (verdict.code, verdict.n) == ("budget", 55)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no versions declared"),
        (["v1", "v1"], "named twice"),
        ("v1", "not the one string"),
        ([f"v{i}" for i in range(11)], "lower `present`"),
    ],
)
def test_nonsense_is_refused(names, words):
    with pytest.raises(ValueError, match=words):
        Judge(names)
