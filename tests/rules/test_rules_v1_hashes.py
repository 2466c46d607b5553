"""consistentHash is read, and merged as istiod merges DestinationRules of one host."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.documents import manifest
from meshproof.rules.model import PodHash

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}
"""
RULE = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME, creationTimestamp: "2024-01-0AGE"}
spec:
  host: cart
"""
USER = PodHash("header", name="x-user")


def read_balancers(*specs: str) -> dict[str, PodHash | None]:
    heads = (RULE.replace("NAME", f"r{age}").replace("AGE", f"{age}T00:00:00Z") for age in (1, 2))
    text = "".join(f"{head}{spec}\n" for head, spec in zip(heads, specs, strict=False))
    (rule,) = rules.read_rules(manifest.parse(ROUTE + text, "r.yaml")).destination_rules
    return dict(rule.balancers)


def whole(settings: str) -> str:
    return f"  trafficPolicy: {{loadBalancer: {{consistentHash: {settings}}}}}"


@pytest.mark.parametrize(
    ("settings", "pod_hash"),
    [
        ("{httpHeaderName: X-User}", USER),
        ("{httpQueryParameterName: K}", PodHash("query", name="K")),
        ("{useSourceIp: true}", PodHash("source")),
        ("{useSourceIp: false}", None),
        ("{httpCookie: {name: c}}", PodHash("cookie", name="c")),
        ("{httpCookie: {name: c, ttl: 0s}}", PodHash("cookie", name="c", ttl=0.0)),
        (
            "{httpCookie: {name: c, ttl: 1m, path: /a}}",
            PodHash("cookie", name="c", ttl=60.0, cookie_path="/a"),
        ),
        ("{httpHeaderName: x-user, maglev: {}}", PodHash("header", True, name="x-user")),
        ("{useSourceIp: true, maglev: {tableSize: 31}}", PodHash("source", True, 31)),
        ("{useSourceIp: true, minimumRingSize: 9}", PodHash("source", table_size=9)),
        ("{useSourceIp: true, ringHash: {minimumRingSize: 9}}", PodHash("source", table_size=9)),
    ],
)
def test_each_kind(settings: str, pod_hash: PodHash | None) -> None:
    assert read_balancers(whole(settings)) == {"": pod_hash}


def test_a_rule_with_settings_of_ports_has_none() -> None:
    ports = "portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]"
    policy = f"{{loadBalancer: {{consistentHash: {{useSourceIp: true}}}}, {ports}}}"
    assert read_balancers(f"  trafficPolicy: {policy}") == {}


@pytest.mark.parametrize(
    ("younger", "pod_hash"),
    [
        ("  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", USER),
        (whole("{useSourceIp: true}"), USER),
    ],
)
def test_the_policy_of_the_older_rule_holds(younger: str, pod_hash: PodHash) -> None:
    assert read_balancers(whole("{httpHeaderName: x-user}"), younger) == {"": pod_hash}


def test_the_only_policy_holds_for_both_rules() -> None:
    older = "  subsets: [{name: v1, labels: {v: a}}]"
    younger = f"{whole('{httpHeaderName: x-user}')}\n  subsets: [{{name: v1, labels: {{v: a}}, "
    younger += "trafficPolicy: {loadBalancer: {simple: RANDOM}}}]"
    assert read_balancers(older, younger) == {"": USER}


def test_a_policy_without_balancer_is_one() -> None:
    older = "  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"
    assert read_balancers(older, whole("{httpHeaderName: x-user}")) == {"": None}
