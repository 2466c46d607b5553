"""Weights: what each dialect takes, what it refuses, and which shares follow."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import Route, RuleSet, Target

V1 = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route:
    - {destination: {host: a, subset: v1}, FIRST}
    - {destination: {host: a, subset: v2}, SECOND}
"""
OLD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: a}
spec:
  destination: {name: a}
  route:
  - {labels: {version: v1}, FIRST}
  - {labels: {version: v2}, SECOND}
"""


def read(text: str, first: int | str | None, second: int | str | None) -> RuleSet:
    for marker, weight in (("FIRST", first), ("SECOND", second)):
        text = text.replace(f", {marker}", "" if weight is None else f", weight: {weight}")
    return rules.read_rules(manifest.parse(text, "r.yaml"))


def refused(text: str, first: int | str | None, second: int | str | None) -> str:
    with pytest.raises(BadRules) as error:
        read(text, first, second)
    return str(error.value)


@pytest.mark.parametrize("text", [V1, OLD], ids=["v1", "v1alpha2"])
@pytest.mark.parametrize(("first", "second"), [(50, 50), (1, 99), (100, 0)])
def test_shares_follow_from_weights(text: str, first: int, second: int) -> None:
    (table,) = read(text, first, second).tables
    assert table.routes[0].shares() == {"v1": first / 100, "v2": second / 100}


def test_a_virtual_service_takes_any_sum() -> None:
    assert read(V1, 1, 3).tables[0].routes[0].shares() == {"v1": 0.25, "v2": 0.75}


def test_targets_of_one_subset_share() -> None:
    (table,) = read(V1.replace("subset: v2", "subset: v1"), 30, 50).tables
    assert table.routes[0].shares() == {"v1": 1.0}


def test_a_route_rule_must_sum_to_100() -> None:
    assert refused(OLD, 50, 49) == "r.yaml:7:3: spec.route: weights must sum to 100, found 99"


def test_a_weight_missing_in_a_split_of_a_route_rule_is_refused() -> None:
    message = "r.yaml:8:5: spec.route[1]: a split of several needs a weight on each"
    assert refused(OLD, 50, None) == message


def test_all_weights_0_are_refused() -> None:
    assert refused(V1, 0, 0) == (
        "r.yaml:15:5: spec.http[0].route: expected weights of which at least one is above 0, "
        "found a list"
    )


@pytest.mark.parametrize("weight", [-1, 101, "half", "true", 1.5])
def test_weights_are_whole_numbers_from_0_to_100(weight: int | str) -> None:
    assert refused(OLD, weight, 50).startswith(
        "r.yaml:7:37: spec.route[0].weight: expected a whole number from 0 to 100, found "
    )


@pytest.mark.parametrize("weight", ["", ", weight: 100", ", weight: 7"])
def test_a_single_target_gets_everything(weight: str) -> None:
    old = OLD.partition("  - {labels: {version: v2}")[0].replace(", FIRST", weight)
    new = V1.partition("    - {destination: {host: a, subset: v2}")[0].replace(", FIRST", weight)
    for text in (old, new):
        (table,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
        assert table.routes[0].shares() == {"v1": 1.0}


def test_a_single_weight_is_read_all_the_same() -> None:
    text = OLD.partition("  - {labels: {version: v2}")[0].replace("FIRST", "weight: lots")
    with pytest.raises(
        BadRules, match=r"^r\.yaml:7:37: spec\.route\[0\]\.weight: expected a whole"
    ):
        rules.read_rules(manifest.parse(text, "r.yaml"))


def test_entries_of_a_route_rule_must_differ() -> None:
    assert refused(OLD.replace("{version: v2}", "{version: v1}"), 50, 50) == (
        "r.yaml:7:5: spec.route[0]: nothing tells it from another entry: add labels"
    )


def test_a_subset_that_is_named_three_times_has_exactly_all() -> None:
    here = At("r.yaml", 1)
    split = tuple(Target("shop", (("version", "v1"),), weight) for weight in (2, 3, 1))
    assert Route((), split, here).shares() == {"v1": 1.0}
