"""DestinationPolicy -> DestinationRule: every field; what it cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.base.errors import BadRules

HEAD = """\
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: p}
spec:
  destination: {name: shop}
"""

FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "round robin": (
        "loadBalancing: {name: ROUND_ROBIN}",
        {"loadBalancer": {"simple": "ROUND_ROBIN"}},
    ),
    "least connections": (
        "loadBalancing: {name: LEAST_CONN}",
        {"loadBalancer": {"simple": "LEAST_REQUEST"}},
    ),
    "random": ("loadBalancing: {name: RANDOM}", {"loadBalancer": {"simple": "RANDOM"}}),
} | {
    key: (f"circuitBreaker: {{simpleCb: {{{key}: {old}}}}}", said)
    for key, old, said in (
        ("maxConnections", "7", {"connectionPool": {"tcp": {"maxConnections": 7}}}),
        (
            "httpMaxPendingRequests",
            "7",
            {"connectionPool": {"http": {"http1MaxPendingRequests": 7}}},
        ),
        ("httpMaxRequests", "7", {"connectionPool": {"http": {"http2MaxRequests": 7}}}),
        (
            "httpMaxRequestsPerConnection",
            "7",
            {"connectionPool": {"http": {"maxRequestsPerConnection": 7}}},
        ),
        ("httpMaxRetries", "7", {"connectionPool": {"http": {"maxRetries": 7}}}),
        ("httpConsecutiveErrors", "7", {"outlierDetection": {"consecutive5xxErrors": 7}}),
        ("httpDetectionInterval", "7s", {"outlierDetection": {"interval": "7s"}}),
        ("sleepWindow", "7s", {"outlierDetection": {"baseEjectionTime": "7s"}}),
        ("httpMaxEjectionPercent", "7", {"outlierDetection": {"maxEjectionPercent": 7}}),
    )
}


@pytest.mark.parametrize(("line", "policy"), FIELDS.values(), ids=FIELDS)
def test_a_field(converted: Any, line: str, policy: dict[str, Any]) -> None:
    found = converted(f"{HEAD}  {line}\n")
    spec = {"host": "shop", "trafficPolicy": policy}
    assert {key: one["spec"] for key, one in found.objects.items()} == {
        ("DestinationRule", "shop"): spec
    }
    assert found.said == []


def test_labels_make_it_the_policy_of_a_subset(converted: Any, rule: Any) -> None:
    text = HEAD.replace("name: shop", "name: shop, labels: {version: v2}")
    text += "  loadBalancing: {name: RANDOM}\n---\n" + rule("route: [{labels: {version: v2}}]")
    found = converted(text)
    assert found.objects["DestinationRule", "shop"]["spec"]["subsets"] == [
        {
            "name": "v2",
            "labels": {"version": "v2"},
            "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
        }
    ]
    assert found.said == [
        "old.yaml:5:37: note: spec.destination.labels: holds where a rule sends to these labels, "
        "as it did before"
    ]


LOST = {
    "custom balancing": ("loadBalancing: {custom: {a: b}}", "loadBalancing.custom"),
    "custom breaker": ("circuitBreaker: {custom: {a: b}}", "circuitBreaker.custom"),
}


@pytest.mark.parametrize(("line", "path"), LOST.values(), ids=LOST)
def test_custom_policies_are_named(converted: Any, line: str, path: str) -> None:
    found = converted(f"{HEAD}  {line}\n")
    (said,) = found.said
    assert said.startswith("old.yaml:6:")
    assert f": error: spec.{path} is not converted: a DestinationRule has no custom " in said
    assert found.text.startswith(f"# old.yaml:6: spec.{path} is not converted: ")


def test_a_policy_for_some_callers_is_left_out_and_named(converted: Any) -> None:
    found = converted(f"{HEAD}  source: {{name: page}}\n  loadBalancing: {{name: RANDOM}}\n")
    assert found.objects["DestinationRule", "shop"]["spec"] == {"host": "shop"}
    assert found.said == [
        "old.yaml:6:3: error: spec.source is not converted: a DestinationRule is for all callers, "
        "and the policy was for some; it is left out"
    ]
    assert "#   loadBalancer:\n#     simple: RANDOM\n" in found.text


@pytest.mark.parametrize(
    "line",
    [
        "loadBalancing: {name: RANDUM}",
        "circuitBreaker: {simpleCb: {maxConnections: many}}",
        "circuitBreaker: {simpleCb: {maxConections: 1}}",
        "circuitBreaker: {simpleCb: {sleepWindow: 5 minutes}}",
    ],
)
def test_wrong_values_are_refused_by_their_line(converted: Any, line: str) -> None:
    with pytest.raises(BadRules, match=r"old\.yaml:6:\d+: error MP01"):
        converted(f"{HEAD}  {line}\n")


def test_a_second_policy_for_the_same_is_refused(converted: Any) -> None:
    other = HEAD.replace("name: p", "name: q")
    line = "  loadBalancing: {name: RANDOM}\n"
    with pytest.raises(BadRules, match=r"old\.yaml:8:1: a second policy .*old\.yaml:1"):
        converted(f"{HEAD}{line}---\n{other}{line}")
