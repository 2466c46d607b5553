"""Where the limits of a verdict come from: said in every form, kept in the record."""

from __future__ import annotations

import json
import random

import pytest

from meshproof.verdict import PROFILES, Settings, Verdict, judge, plan
from meshproof.verdict.settings import Origin

HALF = {"v1": 50, "v2": 50}
GATE = PROFILES["gate"]


def judged(settings: Settings, share: float = 0.5) -> Verdict:
    draw = random.Random(1)
    labels = ("v1" if draw.random() < share else "v2" for _ in range(20_000))
    return judge(labels, HALF, settings)


def test_a_profile_says_that_it_is_one() -> None:
    assert judged(GATE).limits() == [
        "tolerance 10 points (profile gate)",
        "beta 1 time in 1000 (profile gate)",
    ]
    assert (
        judged(GATE)
        .paragraph()
        .endswith("Limits: tolerance 10 points (profile gate); beta 1 time in 1000 (profile gate).")
    )
    assert Settings(tolerance=0.05, leak=0.001) == PROFILES["nightly"]


def test_only_what_matters_for_a_check_is_said() -> None:
    only = judge(["v3"] * 700, {"v3": 1}, GATE)
    assert [limit.partition(" ")[0] for limit in only.limits()] == ["leak", "beta"]
    seen = judge(["v1", "v2"] * 100, ["v1", "v2"], GATE)
    assert seen.limits()[0] == "smallest share 10 % (profile gate)"
    assert judge(["v1"], HALF).limits() == []


@pytest.mark.parametrize(
    ("changes", "limit", "loosened"),
    [
        (
            {"tolerance": 0.2},
            "tolerance 20 points (a.yaml:7, looser than the run's 10 points)",
            ["tolerance 20 points, not 10 points (a.yaml:7)"],
        ),
        (
            {"tolerance": 0.05},
            "tolerance 5 points (a.yaml:7, stricter than the run's 10 points)",
            [],
        ),
        ({"tolerance": 0.1}, "tolerance 10 points (a.yaml:7)", []),
        (
            {"beta": 0.01},
            "beta 1 time in 100 (a.yaml:7, looser than the run's 1 time in 1000)",
            ["beta 1 time in 100, not 1 time in 1000 (a.yaml:7)"],
        ),
        ({"budget": 5000}, "budget 5000 answers (a.yaml:7)", []),
        (
            {"look_every": 20},
            "a look every 20 answers (a.yaml:7, other than the run's 10 answers)",
            [],
        ),
        (
            {"unnamed_budget": 9},
            "allowed to name no version 9 answers (a.yaml:7, looser than the run's 1 %)",
            ["allowed to name no version 9 answers, not 1 % (a.yaml:7)"],
        ),
    ],
)
def test_a_rule_is_named_with_what_the_run_has(
    changes: dict[str, float], limit: str, loosened: list[str]
) -> None:
    found = judged(GATE.with_values("a.yaml:7", changes, is_local=True))
    assert limit in found.limits()
    assert limit in found.paragraph()
    assert found.loosened() == loosened
    assert str(found).endswith(
        f"; looser than the run: {loosened[0]}" if loosened else "(missed at most 1 time in 1000)"
    )


def test_the_last_that_says_something_holds_and_the_run_is_remembered() -> None:
    run = GATE.with_values("--tolerance", {"tolerance": 0.15})
    assert run.origins["tolerance"] == Origin("--tolerance")
    rule = run.with_values("a.yaml:7", {"tolerance": 0.3}, is_local=True)
    check = rule.with_values("the check itself", {"tolerance": 0.2}, is_local=True)
    assert (check.tolerance, check.origins["tolerance"]) == (0.2, Origin("the check itself", 0.15))
    assert check.origins["beta"] == Origin("profile gate")


def test_a_record_keeps_them_and_is_read_without() -> None:
    found = judged(GATE.with_values("a.yaml:7", {"tolerance": 0.2}, is_local=True))
    stored = json.loads(json.dumps(found.to_dict()))
    again = Verdict.from_dict(stored)
    assert (again.limits(), again.loosened()) == (found.limits(), found.loosened())
    assert again.settings.origins == found.settings.origins
    del stored["settings"]["origins"]
    assert Verdict.from_dict(stored).limits() == []


def test_a_plan_says_them() -> None:
    lines = str(plan(HALF, GATE.with_values("--tolerance", {"tolerance": 0.2}))).splitlines()
    assert lines[-2:] == [
        "  tolerance 20 points (--tolerance)",
        "  beta 1 time in 1000 (profile gate)",
    ]


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="tolerance must lie between 0 and 1, not 5"):
        GATE.with_values("a.yaml:7", {"tolerance": 5}, is_local=True)


@pytest.mark.parametrize(
    ("weights", "profile", "tolerance"),
    [
        ({"v1": 50, "v2": 50}, "gate", 0.1),
        ({"v1": 80, "v2": 20}, "gate", 0.1),
        ({"v1": 90, "v2": 10}, "gate", 0.05),
        ({"v1": 90, "v2": 10}, "nightly", 0.05),
        ({"v1": 95, "v2": 5}, "nightly", 0.025),
        ({"v1": 99, "v2": 1}, "gate", 0.005),
        ({"v1": 999, "v2": 1}, "gate", 0.005),
        ({"v1": 90, "v2": 10, "v3": 0}, "gate", 0.05),
        ({"v1": 1, "v2": 0}, "gate", 0.1),
    ],
)
def test_the_tolerance_of_a_profile_follows_the_smallest_weight(
    weights: dict[str, float], profile: str, tolerance: float
) -> None:
    settings = PROFILES[profile].with_expected(weights)
    assert settings.tolerance == pytest.approx(tolerance)


def test_a_tolerance_that_follows_a_weight_says_so() -> None:
    settings = GATE.with_expected({"v1": 90, "v2": 10})
    origin = "half of the smallest weight, stricter than the run's 10 points"
    assert f"tolerance 5 points ({origin})" in str(plan({"v1": 90, "v2": 10}, settings))


def test_a_tolerance_that_somebody_chose_holds() -> None:
    chosen = GATE.with_values("--tolerance", {"tolerance": 0.1})
    for settings in (chosen, Settings(tolerance=0.1)):
        assert settings.with_expected({"v1": 99, "v2": 1}) is settings


def test_names_and_baselines_have_no_tolerance_to_follow() -> None:
    assert GATE.with_expected(["v1", "v2"]) is GATE
