"""A near miss may go to any version: that one subset alone answers it is seen all the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshproof.mesh.echo.workloads import Workloads, plan_echo_workloads
from meshproof.user_rules import loading
from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("any_version.yaml")
command = partial(build_command, RULES)
Run = Callable[..., Any]


@pytest.mark.local
def test_every_case_passes_without_a_fault(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    assert sum("-> any version" in case for case in ended.results) > 10


@pytest.mark.local
@pytest.mark.parametrize(
    ("fault", "spared", "only"),
    [
        ("header dropped", r"-> v3$", r"shop v3"),
        ("canary for all", r"-> v3$|v1 90 %", r"shop v1 or shop v2"),
    ],
)
def test_a_condition_that_leaks_is_seen(meshproof: Run, fault: str, spared: str, only: str) -> None:
    ended = meshproof(*command(fault))
    assert ended.code == 1, ended.output
    assert ended.list_failed() == [case for case in ended.results if not re.search(spared, case)]
    for case in (case for case in ended.list_failed() if case.endswith("-> any version")):
        message = ended.results[case].message
        assert f"only {only} answered\n" in message, message
        assert "expected: shop answers, by any of its workloads, each of " in message, message


def test_a_case_is_asked_often_enough_to_tell_it_from_each_other_route() -> None:
    found = loading.load([str(RULES)])
    often = {
        case.id: found.workloads.count_visits(case)
        for case in found.plan.cases
        if not case.needs_judge
    }
    assert often["shop: x-user burr -> v3"] == 5  # one of four answers any version, too
    assert often["shop: path /v1 -> v1"] == 66  # and 90 of 100 are v1 where the canary is
    assert often["shop: no x-user -> any version"] == 3
    (case,) = [case for case in found.plan.cases if case.id.startswith("shop: no x-user ->")]
    hiding = {
        one.description: (len(one.deciding_workloads), one.max_requests)
        for one in found.workloads.find_ambiguities(case)
    }
    assert hiding == {
        "shop v3": (3, 15),
        "shop v1 or shop v2": (2, 30),
        "shop v1": (3, 15),
    }


def test_the_chance_to_miss_another_route_is_the_run_s() -> None:
    found = loading.load([str(RULES)])
    (case,) = [one for one in found.plan.cases if one.id == "shop: path /v1 -> v1"]
    workloads = Workloads(plan_echo_workloads(found.rules, found.known_hosts), 1e-6)
    assert 0.9 ** workloads.count_visits(case) <= 1e-6 < 0.9 ** (workloads.count_visits(case) - 1)


def test_a_weight_of_zero_hides_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    text = RULES.read_text().replace("weight: 10\n", "weight: 0\n")
    rules.write_text(text.replace("weight: 90\n", "weight: 100\n"))
    found = loading.load([str(rules)])
    (case,) = [case for case in found.plan.cases if case.id.startswith("shop: no x-user ->")]
    assert {one.description for one in found.workloads.find_ambiguities(case)} == {
        "shop v3",
        "shop v1",
    }


SPLITS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{uri: {prefix: /beta}}]
    route: [{destination: {host: shop, subset: v2}}]
  - match: [{uri: {prefix: /a}}]
    route:
    - {destination: {host: shop, subset: v1}, weight: 90}
    - {destination: {host: shop, subset: v2}, weight: 10}
"""


def test_a_split_is_judged_once_for_its_route(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(SPLITS)
    user_rules = loading.load([str(tmp_path)])
    cases = [case for case in user_rules.plan.cases if case.route_index == 1]
    assert [case.needs_judge for case in cases] == [True] + [False] * (len(cases) - 1)
    assert len(cases) > 1
    # All answers may be v2's, by /beta: 1 in 10 to the 9th where the split holds.
    (ambiguity,) = user_rules.workloads.find_ambiguities(cases[1])
    assert (ambiguity.description, ambiguity.max_requests) == ("shop v2", 9)
    assert user_rules.workloads.count_visits(cases[1]) == 3


def test_a_split_is_judged_again_where_another_route_differs_in_shares_alone(
    tmp_path: Path,
) -> None:
    even = (
        "    route:\n    - {destination: {host: shop, subset: v1}, weight: 50}\n"
        "    - {destination: {host: shop, subset: v2}, weight: 50}\n"
    )
    text = SPLITS.replace("    route: [{destination: {host: shop, subset: v2}}]\n", even)
    (tmp_path / "rules.yaml").write_text(text)
    repeated = [case for case in loading.load([str(tmp_path)]).plan.cases if case.repeats_split]
    assert len(repeated) == 2
    assert all(case.needs_judge for case in repeated)


def test_more_requests_are_sent_where_another_route_shares_its_workloads(tmp_path: Path) -> None:
    mixed = (
        "    route:\n    - {destination: {host: shop, subset: v1}, weight: 50}\n"
        "    - {destination: {host: web}, weight: 50}\n"
    )
    text = SPLITS.replace("    route: [{destination: {host: shop, subset: v2}}]\n", mixed)
    (tmp_path / "rules.yaml").write_text(text)
    user_rules = loading.load([str(tmp_path)])
    split = [case for case in user_rules.plan.cases if case.route_index == 1][1]
    assert not split.needs_judge
    # Half of the requests of /beta would be answered by web: all of 10 miss it 1 time in 1000.
    assert user_rules.workloads.count_visits(split) == 10
