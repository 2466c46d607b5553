"""Routes of the ingress: which rules hold at which port and for which host."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from tests.mesh.envoy.translating import (
    cluster,
    read_destination,
    read_destinations,
    snapshot,
    translate_port,
)

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entry}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: [HOSTS], port: {number: 80, name: http, protocol: HTTP}}
  - {hosts: ['*'], port: {number: 8080, name: more, protocol: HTTP}}
"""
RULE = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec:
  hosts: [HOSTS]
  gateways: [entry]
  http: [{MATCH route: [{destination: {host: TARGET}}]}]
"""


def gateway(hosts: str = "'*'") -> str:
    return GATEWAY.replace("HOSTS", hosts)


def rule(hosts: str = "'*'", target: str = "page", match: str = "", name: str = "page") -> str:
    text = RULE.replace("HOSTS", hosts).replace("TARGET", target).replace("NAME", name)
    return text.replace("MATCH", match)


def hosts(text: str, port: int = 80) -> dict[str, list[object]]:
    config = translate_port(snapshot(text), port)
    assert config["name"] == f"http.{port}"
    virtual_hosts = {
        host["domains"][0]: [read_destination(route) for route in host["routes"]]
        for host in config["virtual_hosts"]
    }
    assert all(host["domains"] == [host["name"]] for host in config["virtual_hosts"])
    return virtual_hosts


def test_a_rule_holds_at_its_gateway_and_not_in_sidecars() -> None:
    text = gateway() + rule(target="reviews", hosts="reviews.default.svc.cluster.local")
    assert hosts(text) == {"reviews.default.svc.cluster.local": [cluster("")]}
    assert read_destinations(
        text + rule("page", "many", name="other").replace("[entry]", "[mesh]"), "page"
    ) == [cluster("", "many", 80)]
    assert read_destinations(text) == [cluster("")], "as without a rule"


def test_a_rule_of_the_mesh_does_not_hold_at_the_gateway() -> None:
    text = gateway() + rule("page").replace("  gateways: [entry]\n", "")
    assert hosts(text) == {}


def test_without_a_rule_nothing_comes_in() -> None:
    assert hosts(gateway()) == {}


@pytest.mark.parametrize(
    ("served", "expected", "common"),
    [
        ("'*'", "'*'", ["*"]),
        ("'*'", "a.com, b.com", ["a.com", "b.com"]),
        ("a.com, c.com", "'*'", ["a.com", "c.com"]),
        ("a.com, c.com", "a.com, b.com", ["a.com"]),
        ("'*.a.com'", "x.a.com, a.com, xa.com", ["x.a.com"]),
        ("x.a.com", "'*.a.com'", ["x.a.com"]),
        ("'*.a.com'", "'*.x.a.com'", ["*.x.a.com"]),
    ],
)
def test_hosts_are_those_that_both_name(served: str, expected: str, common: list[str]) -> None:
    assert list(hosts(gateway(served) + rule(expected))) == common


def test_another_port_has_its_own_hosts() -> None:
    text = gateway("a.com") + rule("a.com, b.com")
    assert list(hosts(text, 80)) == ["a.com"]
    assert list(hosts(text, 8080)) == ["a.com", "b.com"]
    assert hosts(text, 9999) == {}


def test_rules_of_one_host_follow_each_other() -> None:
    first = rule(target="reviews", match="match: [{uri: {prefix: /a}}],", name="first")
    assert hosts(gateway() + first + rule()) == {"*": [cluster(""), cluster("", "page")]}


@pytest.mark.parametrize(
    ("match", "count"),
    [
        ("gateways: [entry]", 1),
        ("gateways: [mesh]", 0),
        ("sourceLabels: {istio: ingressgateway}", 1),
        ("sourceLabels: {app: page}", 0),
    ],
)
def test_matches_that_hold_elsewhere_are_left_out(match: str, count: int) -> None:
    config = hosts(gateway() + rule(match=f"match: [{{{match}}}],"))
    assert config == {"*": [cluster("", "page")] * count}


REFUSED = {
    "no such gateway": (
        gateway() + rule().replace("[entry]", "[entri]"),
        "10:1: there is no Gateway default/entri; did you mean 'default/entry'?",
    ),
    "no such gateway in a match": (
        gateway() + rule(match="match: [{gateways: [other/entry]}],"),
        "16:19: there is no Gateway other/entry",
    ),
    "no host in common": (
        gateway("a.com").replace("hosts: ['*']", "hosts: [b.com]") + rule("c.com"),
        "10:1: default/entry at r.yaml:1 serves a.com, b.com, which is none of the hosts c.com",
    ),
    "no such service": (
        gateway() + rule(target="pages"),
        "16:20: there is no service pages.default.svc.cluster.local; "
        "did you mean 'page.default.svc.cluster.local'?",
    ),
    "RouteRule for what the ingress reaches": (
        gateway()
        + rule()
        + "---\napiVersion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata: {name: a}\n"
        "spec: {destination: {name: page}, route: [{labels: {version: v1}}]}\n",
        "18:1: a RouteRule for page.default.svc.cluster.local, which the ingress reaches itself "
        "(r.yaml:16), is not supported yet",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        translate_port(snapshot(text), 80)
    assert str(error.value) == f"r.yaml:{message}"


def test_a_gateway_takes_the_only_port_of_a_target() -> None:
    assert hosts(gateway() + rule(target="ratings")) == {"*": [cluster("", "ratings", 8080)]}
