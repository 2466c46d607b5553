"""A stored verdict: nothing is lost, and it can be judged again."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.verdict import Settings, Verdict, judge, replay

LOOSE = Settings(tolerance=0.3, alpha=0.01, alpha_independence=0.01, beta=0.05, present=0.3)


def stored(verdict):
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    return Verdict.from_dict(json.loads(text))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["v1", "v2", "v3", None]), max_size=80),
    st.sampled_from([{"v1": 1, "v2": 2}, {"v1": 1, "v2": 1, "v3": 1}, {"v1": 1}, ["v1", "v2"]]),
)
def test_json_and_back_is_the_same_verdict(labels, expect):
    verdict = judge(labels, expect, LOOSE)
    again = stored(verdict)
    assert again == verdict
    assert replay(again) == verdict
    assert str(again) == str(verdict)


def test_odds_without_bound_survive():
    verdict = judge(["v1"] * 9 + ["v2"], {"v1": 95, "v2": 5}, LOOSE)
    assert math.inf in [split.log_odds for split in verdict.splits]
    assert stored(verdict) == verdict


def test_a_changed_label_is_found_by_replay():
    verdict = judge(["v3"] * 700, {"v3": 1})
    forged = verdict.to_dict()
    forged["labels"][5] = "v1"
    assert replay(Verdict.from_dict(forged)).outcome != verdict.outcome


def test_json_has_what_tools_need():
    found = judge(["v1"] * 30, {"v1": 50, "v2": 50}).to_dict()
    assert (found["outcome"], found["code"], found["n"]) == ("failed", "wrong-split", 20)
    assert found["counts"] == {"v1": 20, "v2": 0}
    assert found["expected"] == {"v1": 0.5, "v2": 0.5}
    assert found["settings"]["tolerance"] == 0.10


@pytest.mark.parametrize("change", ["format", "labels", "settings", "outcome"])
def test_anything_else_is_refused(change):
    broken = judge(["v1"], {"v1": 1}).to_dict()
    del broken[change]
    with pytest.raises(ValueError, match="not a stored verdict"):
        Verdict.from_dict(broken)
    with pytest.raises(ValueError, match="not a"):
        Verdict.from_dict({"format": "meshproof.verdict/99"})
