"""Both sides mean the same in the routing model; a wrong conversion is named by rule and line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshproof.convert import proof
from meshproof.convert.proof import Comparison
from tests.convert.old_texts import EGRESS, INGRESS

ROUTE = "route: [{labels: {version: v1}}]"


def compared(found: Any, text: str | None = None) -> Comparison:
    given_text = found.text if text is None else text
    return proof.compare(found.source, given_text, "new.yaml", found.conversion.notes)


SHOP = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: burr}
spec:
  destination: {name: shop}
  precedence: 2
  match: {request: {headers: {cookie: {regex: '^(.*?;\\s*)?user=burr(;.*)?$'}}}}
  route: [{labels: {version: v3}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: split}
spec:
  destination: {name: shop}
  precedence: 1
  match: {request: {headers: {uri: {prefix: /half}}}}
  route:
  - {labels: {version: v1}, weight: 90}
  - {labels: {version: v2}, weight: 10}
"""

Objects = dict[str, Any]


def routes(objects: list[Objects]) -> list[Any]:
    found: list[Any] = objects[-1]["spec"]["http"]
    return found


def weights_swapped(objects: list[Objects]) -> None:
    one, two = routes(objects)[1]["route"]
    one["weight"], two["weight"] = two["weight"], one["weight"]


def order_swapped(objects: list[Objects]) -> None:
    found = routes(objects)
    found[0], found[1] = found[1], found[0]


def cookie_lost(objects: list[Objects]) -> None:
    del routes(objects)[0]["match"]


def subset_wrong(objects: list[Objects]) -> None:
    objects[0]["spec"]["subsets"][0]["labels"]["version"] = "v1"


def route_lost(objects: list[Objects]) -> None:
    del routes(objects)[1:]


def default_wrong(objects: list[Objects]) -> None:
    routes(objects)[-1]["route"][0]["destination"]["host"] = "other"


def at_a_gateway(objects: list[Objects]) -> None:
    objects[-1]["spec"]["gateways"] = ["gate"]


#: Lines of a rule's spec, what a wrong conversion says instead, and the field that is named.
WRONG = {
    "redirect": (["redirect: {uri: /a}"], ("redirectCode: 302", "redirectCode: 301"), "redirect"),
    "rewrite": ([ROUTE, "rewrite: {uri: /a}"], ("uri: /a", "uri: /b"), "rewrite"),
    "timeout": (
        [ROUTE, "httpReqTimeout: {simpleTimeout: {timeout: 3s}}"],
        ("timeout: 3s", "timeout: 4s"),
        "timeout",
    ),
    "retries": (
        [ROUTE, "httpReqRetries: {simpleRetry: {attempts: 3}}"],
        ("5xx,", ""),
        "retries",
    ),
    "fault": (
        [ROUTE, "httpFault: {abort: {percent: 5, httpStatus: 503}}"],
        ("value: 5", "value: 50"),
        "fault",
    ),
    "mirror": (
        [ROUTE, "mirror: {name: shadow}"],
        ("host: shadow", "host: other"),
        "mirrors",
    ),
    "headers": ([ROUTE, "appendHeaders: {x-a: b}"], ("x-a: b", "x-a: c"), "headers"),
}


@pytest.mark.parametrize(("lines", "change", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_action_is_named_by_rule_and_line(
    converted: Any, rule: Any, lines: list[str], change: tuple[str, str], field: str
) -> None:
    found = converted(rule(*lines))
    right = compared(found)
    assert len(right.same) == 1, right
    assert found.text.count(change[0]) == 1
    wrong = compared(found, found.text.replace(*change))
    (said,) = wrong.different
    assert said.startswith(f"old.yaml:1: 'r': {field} ")
    assert "; the converted route at new.yaml:" in said


FAULTS: dict[str, tuple[Callable[[list[Objects]], None], str]] = {
    "weights swapped": (
        weights_swapped,
        "old.yaml:10: 'split': split shop.default.svc.cluster.local v1 weight 90 or "
        "shop.default.svc.cluster.local v2 weight 10; the converted route at new.yaml:",
    ),
    "order swapped": (order_swapped, "old.yaml:1: 'burr': matches cookie regex "),
    "cookie lost": (
        cookie_lost,
        "old.yaml:1: 'burr': matches cookie regex '^(.*?;\\s*)?user=burr(;.*)?$'; the converted "
        "route at new.yaml:26 has none",
    ),
    "subset of other labels": (
        subset_wrong,
        "old.yaml:1: 'burr': split shop.default.svc.cluster.local v3 weight 100; the converted "
        "route",
    ),
    "route lost": (
        route_lost,
        "old.yaml:10: 'split' has no route in the converted rule at new.yaml:",
    ),
    "default elsewhere": (default_wrong, "this converted route has no rule (those of shop.default"),
    "at a gateway": (at_a_gateway, "old.yaml:1: 0 converted rules are for shop.default"),
}


@pytest.mark.parametrize(("plant", "said"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_conversion_is_named_by_rule_and_line(
    converted: Any, plant: Callable[[list[Objects]], None], said: str
) -> None:
    found = converted(SHOP)
    objects = list(yaml.safe_load_all(found.text))
    plant(objects)
    wrong = compared(found, yaml.safe_dump_all(objects, sort_keys=False))
    assert not wrong.same
    assert any(said in one for one in wrong.different), wrong


def test_without_a_fault_it_is_the_same(converted: Any) -> None:
    found = compared(converted(SHOP))
    assert not found.different + found.not_compared
    assert list(found.lines()) == [
        "the same in the routing model: 2 routes of shop.default.svc.cluster.local"
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "httpFault: {}",
        "httpReqRetries: {simpleRetry: {attempts: 0, perTryTimeout: 1s}}",
        "corsPolicy: {allowOrigin: ['*'], allowMethods: [GET], maxAge: 24h}",
        "match: {request: {headers: {scheme: http}}}",
    ],
)
def test_what_is_hardly_said_or_newly_read_is_the_same(
    converted: Any, rule: Any, spec: str
) -> None:
    found = compared(converted(rule(spec, ROUTE)))
    assert not found.different + found.not_compared
    assert found.same


def test_the_old_defaults_are_compared_with_what_they_say(converted: Any, rule: Any) -> None:
    text = rule("precedence: 1", "match: {request: {headers: {a: b}}}", ROUTE)
    old, new = converted(text, old_defaults=True), converted(text)
    for found, differs in ((old, False), (new, True)):
        said = proof.compare(found.source, found.text, "new.yaml", [], old_defaults=True)
        assert bool(said.different) is differs, said
    assert "timeout 15.0; the converted route at new.yaml:" in said.different[0]


def test_what_is_not_converted_is_not_claimed(converted: Any, rule: Any) -> None:
    wrong = rule("match: {request: {headers: {a: {regex: '(?!b)c'}}}}", ROUTE)
    other = rule(ROUTE).replace("name: shop", "name: other").replace("name: r}", "name: s}")
    found = compared(converted(f"{wrong}---\n{other}"))
    assert [part.hosts for part in found.same] == [("other.default.svc.cluster.local",)]
    assert len(found.not_compared) == 1
    assert found.not_compared[0].startswith("old.yaml:6:")
    assert found.not_compared[0].endswith(" (not proven: RouteRule 'r')")


def test_what_the_model_does_not_know_is_not_claimed(converted: Any, rule: Any) -> None:
    found = compared(converted(rule(ROUTE, "l4Fault: {terminate: {percent: 1}}")))
    assert not found.same
    (said,) = found.not_compared
    assert "of which no HTTP request tells (not proven: RouteRule 'r')" in said


def test_an_order_that_was_not_specified_is_not_claimed(converted: Any, rule: Any) -> None:
    found = compared(converted("---\n".join([rule(ROUTE, name="a"), rule(ROUTE, name="b")])))
    assert not found.same
    assert "same precedence" in found.not_compared[0]


def test_ways_out_are_compared_and_what_no_request_tells_is_named(
    converted: Any, rule: Any
) -> None:
    found = compared(converted(f"{rule(ROUTE)}---\n{EGRESS}"))
    assert [said.partition(": ")[2] for said in found.unproven_fields] == [
        "spec.ports[1].protocol is not proven by requests: the workload that stands for the host "
        "speaks plaintext (EgressRule 'out')",
        "spec.ports[2].protocol is not proven by requests: only HTTP is asked for (EgressRule "
        "'out')",
    ]
    assert len(found.same) == 1
    assert (
        "the same ways out of the mesh: a.example:80 (http), a.example:443 (http, with TLS), "
        in ("\n".join(found.lines()))
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a.example\n", "b.example\n", ":7: the converted rules do not let out a.example:80"),
        ("number: 443", "number: 444", "the converted rules let out a.example:444 (http), which"),
        ("mode: SIMPLE", "mode: DISABLE", "do not let out a.example:443 (http, with TLS)"),
        ("protocol: TCP", "protocol: MONGO", "do not let out a.example:9 (tcp)"),
    ],
)
def test_a_way_out_that_is_lost_is_seen(converted: Any, old: str, new: str, said: str) -> None:
    made = converted(EGRESS)
    assert not compared(made).different
    wrong = made.text.replace(old, new, 1)
    assert wrong != made.text
    found = compared(made, wrong)
    assert any(said in one for one in found.different), found.different


def test_an_ingress_is_the_same_at_its_gateway(converted: Any) -> None:
    found = converted(INGRESS)
    assert len(compared(found).same) == 1
    objects = list(yaml.safe_load_all(found.text))
    routes(objects).reverse()
    assert compared(found, yaml.safe_dump_all(objects)).different
    objects[0]["spec"]["servers"][0]["hosts"] = ["b.example"]
    wrong = compared(found, yaml.safe_dump_all(objects)).different
    assert "old.yaml:1: the converted Gateway has other ports or hosts" in wrong


def test_rules_behind_an_ingress_are_not_claimed_there(converted: Any, rule: Any) -> None:
    found = compared(converted(f"{INGRESS}---\n{rule(ROUTE)}"))
    assert [part.hosts for part in found.same] == [("shop.default.svc.cluster.local",)]
    assert (
        "held behind it; the model has no such rules (not proven: Ingress 'gate')"
        in (found.not_compared[0])
    )


NAMES = st.sampled_from(["a", "b", "c"])
VERSIONS = st.sampled_from(["v1", "v2", "1.2", "V"])
LABELS = st.dictionaries(st.sampled_from(["version", "track"]), VERSIONS, max_size=2)
TEXT = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=6)
CONDITIONS = st.one_of(
    TEXT,
    st.builds(lambda kind, one: {kind: one}, st.sampled_from(["exact", "prefix"]), TEXT),
    st.builds(
        lambda one: {"regex": one}, st.sampled_from([".*", "a|b", "^x[0-9]+$", "(.*; )?u=b"])
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(["uri", "method", "authority", "cookie", "X-User"]), CONDITIONS, min_size=1
)


@st.composite
def matches(draw: st.DrawFn) -> Any:
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found["request"] = {"headers": draw(HEADERS)}
    labels = draw(LABELS)
    if labels or not found:
        found["source"] = {"labels": labels or {"app": "page"}}
    return found


@st.composite
def tables(draw: st.DrawFn) -> Any:
    labels = draw(
        st.lists(LABELS, min_size=1, max_size=3, unique_by=lambda one: str(sorted(one.items())))
    )
    if len(labels) == 1:
        return [{"labels": labels[0]}]
    first = draw(st.integers(0, 100))
    weights = [first, 100 - first, 0]
    return [{"labels": one, "weight": part} for one, part in zip(labels, weights, strict=False)]


ACTIONS: dict[str, list[Any]] = {
    "rewrite": [{"uri": "/x"}, {"authority": "a.example"}],
    "httpReqTimeout": [{"simpleTimeout": {"timeout": "3s"}}],
    "httpReqRetries": [
        {"simpleRetry": {"attempts": 2}},
        {"simpleRetry": {"attempts": 3, "perTryTimeout": "250ms"}},
    ],
    "httpFault": [
        {"abort": {"percent": 5, "httpStatus": 503}},
        {"delay": {"fixedDelay": "1s"}, "abort": {"httpStatus": 400}},
    ],
    "mirror": [{"name": "shadow"}, {"name": "b", "labels": {"version": "v9"}}],
    "appendHeaders": [{"x-a": "1"}, {"X-A": "1", "x-b": "two"}],
    "websocketUpgrade": [True],
}


@st.composite
def actions(draw: st.DrawFn) -> Any:
    chosen = draw(st.sets(st.sampled_from(sorted(ACTIONS)), max_size=3))
    return {key: draw(st.sampled_from(ACTIONS[key])) for key in sorted(chosen)}


@st.composite
def rule_sets(draw: st.DrawFn) -> str:
    """Return legal RouteRules: of one destination each has a precedence of its own."""
    found: list[Any] = []
    for host in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        for order in draw(st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True)):
            spec: dict[str, Any] = {"destination": {"name": host}, "precedence": order}
            if draw(st.booleans()):
                spec["match"] = draw(matches())
            if draw(st.integers(0, 5)):
                spec |= {"route": draw(tables()), **draw(actions())}
            else:
                spec["redirect"] = draw(st.sampled_from([{"uri": "/to"}, {"authority": "b"}]))
            found.append(
                {
                    "apiVersion": "config.istio.io/v1alpha2",
                    "kind": "RouteRule",
                    "metadata": {"name": f"r{len(found)}"},
                    "spec": spec,
                }
            )
    return yaml.safe_dump_all(draw(st.permutations(found)))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rule_sets())
def test_any_legal_rules_mean_the_same(converted: Any, text: str) -> None:
    found = converted(text)
    result = compared(found)
    assert not result.different + result.not_compared, found.text
    hosts = {one["spec"]["destination"]["name"] for one in yaml.safe_load_all(text)}
    assert len(result.same) == len(hosts)
    assert sum(len(part.source.tables[0].routes) for part in result.same) == text.count("kind: ")


def test_the_two_sides_are_read_by_two_readers(converted: Any) -> None:
    """Equality of one reading with itself would prove nothing."""
    (part,) = compared(converted(SHOP)).same
    assert part.source.dialect == "RouteRule"
    assert part.converted.dialect == "VirtualService"
    moved = replace(part.source.tables[0], hosts=("x",))
    assert list(proof.find_differences(replace(part.source, tables=(moved,)), part.converted))
