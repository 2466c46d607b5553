from __future__ import annotations

import json
from pathlib import Path

import pytest

HALF = """
import random

def labels(share, seed=3):
    draw = random.Random(seed)
    while True:
        yield "v1" if draw.random() < share else "v2"
"""


def test_any_project_may_judge_labels(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HALF
        + """
def test_half(judge):
    verdict = judge(labels(0.5), expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict

def test_not_half(judge):
    verdict = judge(labels(0.65), expect={"v1": 50, "v2": 50})
    assert not verdict.holds
    assert verdict.outcome == "failed"
"""
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_a_broken_promise_is_red_with_its_numbers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HALF
        + """
def test_half(judge):
    verdict = judge(labels(1.0), expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict
"""
    )
    done = pytester.runpytest_subprocess("-q")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*v2 never answered in 20 answers*"])


def test_a_check_may_have_its_own_tolerance(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HALF
        + """
import pytest

@pytest.mark.checks(2)
def test_half(judge):
    assert judge(labels(0.56), expect={"v1": 1, "v2": 1}, tolerance=0.3).holds
    assert not judge(labels(0.56), expect={"v1": 1, "v2": 1}, tolerance=0.03).holds

def test_typo(judge):
    with pytest.raises(Exception, match="did you mean 'tolerance'"):
        judge(labels(0.5), expect={"v1": 1, "v2": 1}, tolerence=0.3)
"""
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_a_test_judges_no_more_often_than_it_says(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HALF
        + """
def test_twice(judge):
    judge(labels(0.5), expect={"v1": 1, "v2": 1})
    judge(labels(0.5), expect={"v1": 1, "v2": 1})
"""
    )
    done = pytester.runpytest_subprocess("-q")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*more than 1 checks: say how many*"])


SHARED = (
    HALF
    + """
import pytest

@pytest.mark.checks(3)
def test_three(judge, record_property):
    verdict = judge(labels(0.5), expect={"v1": 1, "v2": 1})
    record_property("alpha", verdict.settings.alpha)

@pytest.mark.parametrize("number", range(7))
def test_one(judge, number, record_property):
    verdict = judge(labels(0.5), expect={"v1": 1, "v2": 1})
    record_property("alpha", verdict.settings.alpha)

def test_without_the_judge():
    assert True
"""
)


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_the_false_alarm_rate_is_shared_over_all_collected_checks(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    pytester.makepyfile(SHARED)
    done = pytester.runpytest_subprocess("-q", "--junitxml=out.xml", *arguments)
    done.assert_outcomes(passed=9)
    text = Path(pytester.path / "out.xml").read_text()
    found = {float(part.split('"')[0]) for part in text.split('name="alpha" value="')[1:]}
    assert found == {1e-4 / (2 * 10)}


def test_a_budget_that_is_too_small_is_inconclusive_and_not_green(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        HALF
        + """
def test_half(judge):
    verdict = judge(labels(0.5), expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict
"""
    )
    done = pytester.runpytest_subprocess(
        "-q", "--mesh-budget", "50", "--mesh-report", "rep", "--mesh-format", "record"
    )
    done.assert_outcomes(failed=1)
    record = json.loads((pytester.path / "rep" / "run.json").read_text())
    assert record["results"][0]["outcome"] == "inconclusive"


def test_visits_that_a_policy_of_the_mesh_refuses_are_inconclusive(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
from meshproof.mesh.protocol import Address
from meshproof.traffic.visits import Request, Visit, Visits

class Refused(Visits):
    def to_judge(self):
        while True:
            yield Visit(self.requests[0], 403, {}, b"RBAC: access denied")

def test_page(judge):
    visits = Refused(Address("127.0.0.1", 1), [Request("/")], "run")
    verdict = judge(visits, by=lambda visit: str(visit.status), expect={"200": 1})
    assert verdict.holds, verdict
"""
    )
    done = pytester.runpytest_subprocess("-q", "--mesh-report", "rep", "--mesh-format", "record")
    done.assert_outcomes(failed=1)
    record = json.loads((pytester.path / "rep" / "run.json").read_text())
    assert record["results"][0]["outcome"] == "inconclusive"
    assert "action ALLOW" in record["results"][0]["message"]
