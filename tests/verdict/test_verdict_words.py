"""What people read: the reason, the line and the paragraph."""

from __future__ import annotations

from itertools import cycle, islice

import pytest

from meshproof.verdict import Settings, judge
from meshproof.verdict.phrases import format_odds, format_percent, format_points, format_rate

HALF = {"v1": 50, "v2": 50}
ONLY_V3 = {"v1": 0, "v2": 0, "v3": 100}
THIRDS = ["v1", "v2", "v3"]


def of(pattern, expect, **changes):
    return judge(islice(cycle(pattern), 20_000), expect, Settings(**changes))


def test_the_line_of_a_clean_pass():
    assert str(of(["v3"], ONLY_V3)) == (
        "passed: 688 of 688 answers from v3; a leak of 1 % or more is ruled out "
        "(missed at most 1 time in 1000)"
    )


def test_the_line_of_a_split():
    verdict = of(["v1", "v2"], HALF, independence=False)
    assert str(verdict) == (
        "passed: 350 answers: v1 175 (50 %), v2 175 (50 %); declared v1 50 %, v2 50 %; a share "
        "off by 10 points or more is ruled out (missed at most 1 time in 1000)"
    )


def test_the_line_of_a_failure():
    assert str(of(["v1"], HALF)) == (
        "failed: v2 never answered in 20 answers where 50 % was declared, which looks like "
        "100/0: the weights are ignored or traffic is pinned to v1 "
        "[20 answers: v1 20 (100 %), v2 0 (0 %); a false alarm at most 1 time in 10000]"
    )


REASONS = [
    (
        ["v1", "v2", "v3"],
        ONLY_V3,
        "v1 gave 4 of 10 answers though only v3 is declared; all versions answer about equally "
        "often, so the rule does not seem to be applied",
    ),
    (
        ["v3"] * 9 + ["v2"],
        ONLY_V3,
        "v2 gave 1 of 10 answers though only v3 is declared",
    ),
    (
        ["v1"],
        ONLY_V3,
        "v1 gave all 10 answers though only v3 is declared, which looks like v1 alone: the "
        "weights are ignored or traffic is pinned to v1",
    ),
    (
        ["v1", "v2"] * 4 + ["v1", "v3"],
        HALF | {"v3": 0},
        "v3 gave 1 of 10 answers though its weight is 0",
    ),
    (
        ["v2"] * 8 + ["v1"] * 2,
        {"v1": 90, "v2": 10},
        "v1 gave 20 % of 10 answers where 90 % was declared; the weights look swapped",
    ),
    (
        ["v1", "v2"],
        {"v1": 33, "v2": 33, "v3": 34},
        "v3 never answered in 40 answers where 34 % was declared",
    ),
]


@pytest.mark.parametrize(("pattern", "expect", "reason"), REASONS)
def test_a_failure_names_the_version_and_a_likely_cause(pattern, expect, reason):
    assert of(pattern, expect, independence=False).reason == reason


def test_a_rule_that_is_not_applied(draws):
    expect = {"v1": 80, "v2": 10, "v3": 10}
    verdict = judge(draws(dict.fromkeys(expect, 1), 1), expect)
    assert verdict.reason.endswith("so the rule does not seem to be applied")
    assert verdict.reason.startswith("v1 gave ")


def test_two_thirds_instead_of_half():
    verdict = of(["v1", "v1", "v2"], HALF, independence=False)
    assert verdict.reason == "v1 gave 66.8 % of 220 answers where 50 % was declared"


def test_inconclusive_reasons_say_what_is_missing():
    assert judge([], HALF).reason == "there were no answers to judge"
    assert judge(["v1", "v2"] * 5, HALF).reason == (
        "10 answers were not enough to rule out v1/v2 at 40/60; 1695 always are"
    )
    assert judge([None, "v1", None], HALF).reason == (
        "2 of 3 answers named no version, too many to judge by the others"
    )


def test_the_paragraph_of_a_pass():
    assert of(["v1", "v2"], HALF, independence=False).paragraph() == (
        "Promised: v1 50 %, v2 50 %. Seen in 350 answers: v1 175 (50 %; 41.1 to 58.9 %), v2 175 "
        "(50 %; 41.1 to 58.9 %), with 99.9 % Clopper-Pearson intervals. Passed: the shares fit: "
        "no version is off by 10 points or more. Ruled out: v1/v2 at 60/40 (odds 1270 to 1); "
        "v1/v2 at 40/60 (odds 1270 to 1). A share off by 10 points or more passes at most 1 time "
        "in 1000; a kept promise fails at most 1 time in 20000. Never more than 1695 answers "
        "are needed."
    )


def test_the_paragraph_of_a_failure_gives_the_odds_and_the_order():
    text = of(["v1"], HALF).paragraph()
    assert "Failed: v2 never answered in 20 answers where 50 % was declared" in text
    assert "Wrong splits fit better than the declared one by 98100 to 1" in text
    assert "where 22200 to 1 counts" in text
    assert "odds 7070 to 1 for repeats" in text
    assert "Ruled out" not in text


def test_the_paragraph_of_a_clean_pass():
    text = of(["v3"], ONLY_V3).paragraph()
    assert text.startswith("Promised: only v3. Seen in 688 answers: v1 0 (0 %; 0 to 1.1 %)")
    assert "Ruled out: other versions getting 1 % in all (odds 1010 to 1)." in text
    assert "A leak of 1 % or more passes at most 1 time in 1000" in text
    assert "a kept promise never fails" in text


def test_the_paragraph_says_how_little_a_small_weight_is_checked():
    text = of(["v1"] * 99 + ["v2"], {"v1": 99, "v2": 1}, independence=False).paragraph()
    assert "The weight of v2 is no more than the tolerance: only its absence and 10 points" in text


@pytest.mark.parametrize("labels", [[], [None], ["v1"], ["v1", "v2", "v9"] * 9, ["v1", "v2"] * 99])
@pytest.mark.parametrize("expect", [HALF, ONLY_V3, {"v1": 1}, ["v1", "v2"], {"v1": 1, "v2": 0}])
def test_every_verdict_can_be_said(labels, expect):
    verdict = judge(labels, expect)
    assert verdict.reason
    assert "\n" not in str(verdict)
    assert verdict.paragraph().startswith("Promised: ")


def test_both_lists_of_splits_are_complete():
    verdict = judge(["v1", "v1", "v2"] * 30, HALF, Settings(independence=False))
    assert [what for what, _ in verdict.not_ruled_out()] == ["v1/v2 at 60/40"]
    ((what, odds),) = verdict.ruled_out()
    assert what == "v1/v2 at 40/60"
    assert odds > 1000


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50 %"), (1 / 3, "33.3 %"), (0.001, "0.1 %"), (0.9995, "99.95 %"), (1.0, "100 %"),
     (0.0, "0 %"), (0.1, "10 %"), (2e-5, "0.002 %"), (0.0058, "0.58 %")],
)  # fmt: skip
def test_shares(share, text):
    assert format_percent(share) == text


def test_small_numbers_in_words():
    assert (format_points(0.1), format_points(0.01), format_points(0.025)) == (
        "10 points",
        "1 point",
        "2.5 points",
    )
    assert format_rate(1e-3) == "1 time in 1000"
    assert format_rate(1e-7) == "1 time in 10 million"
    assert format_rate(5.01e-5) == "1 time in 19000"  # rounded down: never a better rate than it is
    assert format_rate(0.05) == "1 time in 20"
    assert (format_odds(0.0), format_odds(200)) == ("1 to 1", "beyond doubt")
    assert format_odds(30) == "1e13 to 1"
