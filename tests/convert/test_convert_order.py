"""All rules of one destination make one VirtualService, in the order of precedence."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.base.errors import BadRules

MATCH = "match: {request: {headers: {a: b}}}"


def names(found: Any) -> list[str]:
    return [route.get("name", "") for route in found.routes("shop")]


def test_the_highest_precedence_comes_first(converted: Any, rule: Any) -> None:
    rules = [("low", -1), ("high", 7), ("none", None), ("middle", 3)]
    texts = [
        rule(*([] if order is None else [f"precedence: {order}"]), MATCH, name=name)
        for name, order in rules
    ]
    found = converted("---\n".join(texts))
    assert names(found) == ["high", "middle", "none", "low", ""]
    assert found.conversion.is_complete


def test_without_a_match_nothing_is_left_for_a_default(converted: Any, rule: Any) -> None:
    text = "---\n".join([rule("precedence: 1", MATCH, name="a"), rule(name="rest")])
    assert names(converted(text)) == ["a", "rest"]


def test_what_no_rule_matches_goes_to_every_version(converted: Any, rule: Any) -> None:
    found = converted(rule(MATCH))
    assert found.routes("shop")[-1] == {"route": [{"destination": {"host": "shop"}}]}
    assert "  # What no RouteRule matches goes to every version.\n  - route:\n" in found.text


def test_of_equals_the_one_without_match_is_last_and_both_are_named(
    converted: Any, rule: Any
) -> None:
    found = converted("---\n".join([rule(name="all"), rule(MATCH, name="some")]))
    assert names(found) == ["some", "all"]
    said = (
        "'all' has the same precedence (0) as 'some' at old.yaml:7: their order was not specified"
    )
    assert found.said == [f"old.yaml:1:1: error: {said}"]
    assert f"  # old.yaml:1: {said}\n  - name: all\n" in found.text


FAR = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: r, namespace: near}
spec:
  destination: {name: shop, namespace: far}
  route: [{labels: {version: v1}}]
"""


def test_a_service_of_another_namespace_is_named_in_full(converted: Any) -> None:
    """Its subsets lie beside it: there each client finds them."""
    found = converted(FAR).objects
    service, policy = found["VirtualService", "shop"], found["DestinationRule", "shop"]
    assert service["metadata"] == {"name": "shop", "namespace": "near"}
    assert service["spec"]["hosts"] == ["shop.far.svc.cluster.local"]
    assert policy["metadata"] == {"name": "shop", "namespace": "far"}
    assert policy["spec"]["host"] == "shop"


@pytest.mark.parametrize(
    ("destination", "host", "name"),
    [
        ("{name: a}", "a", "a"),
        ("{service: a}", "a", "a"),
        ("{service: a.default.svc.cluster.local}", "a", "a"),
        ("{name: a, domain: svc.example}", "a.default.svc.example", "a.default.svc.example"),
        ("{service: www.example.com}", "www.example.com", "www.example.com"),
        ("{service: '*.example.com'}", "*.example.com", "all.example.com"),
    ],
)
def test_ways_to_write_a_destination(
    converted: Any, rule: Any, destination: str, host: str, name: str
) -> None:
    found = converted(rule().replace("{name: shop}", destination))
    assert found.objects["VirtualService", name]["spec"]["hosts"] == [host]


def test_labels_and_annotations_are_carried(converted: Any, rule: Any) -> None:
    metadata = "metadata: {name: r, labels: {a: b}, annotations: {c: d, LAST: '{}'}}"
    metadata = metadata.replace("LAST", "kubectl.kubernetes.io/last-applied-configuration")
    found = converted(rule().replace("metadata: {name: r}", metadata))
    head = found.objects["VirtualService", "shop"]["metadata"]
    assert head == {"name": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}}


def test_labels_in_conflict_are_named(converted: Any, rule: Any) -> None:
    one = rule(MATCH, "precedence: 1", name="a").replace("name: a", "name: a, labels: {x: one}")
    two = rule(MATCH, name="b").replace("name: b", "name: b, labels: {x: two}")
    found = converted(f"{one}---\n{two}")
    assert found.objects["VirtualService", "shop"]["metadata"]["labels"] == {"x": "one"}
    assert found.said == [
        "old.yaml:11:33: error: metadata.labels.x is not converted: "
        "another rule that becomes the same object has another value"
    ]


def test_what_is_about_the_old_object_is_named(converted: Any, rule: Any) -> None:
    found = converted(rule().replace("name: r", "name: r, uid: '1', finalizers: [a]"))
    assert found.said == [
        "old.yaml:3:31: note: metadata.finalizers is about the old object: left out"
    ]


WRONG = {
    "weights": (
        ["route: [{labels: {version: v1}, weight: 50}, {labels: {version: v2}, weight: 40}]"],
        "error MP0114",
    ),
    "no weight": (
        ["route: [{labels: {version: v1}, weight: 50}, {labels: {version: v2}}]"],
        "MP0112: spec.route: 1 of 2 destinations have no weight",
    ),
    "old spelling": (["match: {httpHeaders: {a: b}}"], "'httpHeaders' is the spelling of"),
    "typo": (["percendence: 2"], "old.yaml:6:3: error MP0101: spec: unknown key 'percendence'"),
    "empty match": (["match: {}"], "MP0109: spec.match: no condition"),
    "two conditions": (["match: {request: {headers: {a: {exact: b, prefix: b}}}}"], "MP0108"),
    "no condition": (["match: {request: {headers: {a: {}}}}"], "expected one of exact, prefix"),
    "empty text": (["match: {request: {headers: {a: ''}}}"], "expected text that is not empty"),
    "a header twice": (["match: {request: {headers: {a: b, A: b}}}"], "a second condition"),
    "redirect and route": (["redirect: {uri: /a}", "route: [{weight: 100}]"], "MP0108"),
}


@pytest.mark.parametrize(("lines", "said"), WRONG.values(), ids=WRONG)
def test_wrong_rules_are_refused_by_their_line(
    converted: Any, rule: Any, lines: list[str], said: str
) -> None:
    with pytest.raises(BadRules) as error:
        converted(rule(*lines))
    assert said in str(error.value)
    assert f"old.yaml:{5 + len(lines)}:" in str(error.value)


def test_two_rules_of_one_name_are_refused(converted: Any, rule: Any) -> None:
    with pytest.raises(BadRules, match="MP0209"):
        converted("---\n".join([rule("precedence: 1"), rule(MATCH)]))


def test_a_rule_of_today_for_the_same_host_is_named(converted: Any, rule: Any) -> None:
    today = (
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: own}\n"
        "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n"
    )
    found = converted(rule() + today)
    assert found.said == [
        "old.yaml:7:1: error: there is a VirtualService 'own' already; make one of both"
    ]
    assert list(found.objects) == [("VirtualService", "shop")]
