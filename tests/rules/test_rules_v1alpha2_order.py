"""RouteRules of one destination make one route, the highest precedence first."""

from __future__ import annotations

import random

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.rules.model import RuleSet
from tests.manifest_text import write_head


def rule(
    name: str, precedence: int | None, host: str = "reviews", namespace: str = "default"
) -> str:
    order = "" if precedence is None else f", precedence: {precedence}"
    return (
        write_head("RouteRule", name, namespace) + f"spec: {{destination: {{name: {host}}}{order}, "
        f"route: [{{labels: {{version: {name}}}}}]}}\n"
    )


def read(*texts: str) -> RuleSet:
    return rules.read_rules(manifest.parse("---\n".join(texts), "r.yaml"))


def test_the_order_is_that_of_precedence_not_of_the_file() -> None:
    precedences = [("low", -5), ("none", None), ("one", 1), ("two", 2), ("most", 2**31 - 1)]
    for seed in range(10):
        shuffled = random.Random(seed).sample(precedences, len(precedences))
        (table,) = read(*(rule(name, precedence) for name, precedence in shuffled)).tables
        assert [route.name for route in table.routes] == ["most", "two", "one", "none", "low"]


def test_each_destination_has_a_route() -> None:
    parsed = read(rule("a", 1), rule("b", 1, host="ratings"), rule("c", 1, namespace="shop"))
    assert [table.hosts for table in parsed.tables] == [
        ("reviews.default.svc.cluster.local",),
        ("ratings.default.svc.cluster.local",),
        ("reviews.shop.svc.cluster.local",),
    ]


@pytest.mark.parametrize(
    ("first", "second", "shown_precedence"), [(2, 2, 2), (None, 0, 0), (None, None, 0)]
)
def test_equal_precedence_has_no_order(
    first: int | None, second: int | None, shown_precedence: int
) -> None:
    with pytest.raises(BadRules) as error:
        read(rule("a", first), rule("b", second))
    assert str(error.value) == (
        f"r.yaml:6:1: 'b' has the same precedence ({shown_precedence}) as 'a' at r.yaml:1; "
        "their order is unspecified"
    )
