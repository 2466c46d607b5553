"""Gateways and policies: all problems are collected, and the rest of the object is used."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Unsupported
from meshproof.documents import manifest
from meshproof.inventory import Inventory
from meshproof.inventory.gateways import Gateway, read_gateways
from meshproof.inventory.namespaces import (
    NAME_LABEL,
    NamespaceSelector,
    Requirement,
    read_namespace_labels,
)

ISTIO = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: shop}
spec:
  selector: {app: own}
  servers:
  - {port: {number: 443, name: tls, protocol: HTTPS}, tls: {mode: PASSTHROUGH}, hosts: [./a.test]}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [b.example, pay/c.example]}
"""
GATEWAY_API = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: in, namespace: shop}
spec:
  gatewayClassName: nginx
  listeners:
  - {name: tls, port: 443, protocol: HTTPS, tls: {}}
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: tcp, port: 0, protocol: HTTP, hostname: a.example}
"""
POLICY = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: istio-system}
spec: {selector: {matchLabels: {app: shop}}, mtls: {mode: STRICT}}
"""


def read(text: str) -> Gateway:
    (gateway,) = read_gateways(manifest.parse(text, "g.yaml"))
    return gateway


def test_a_gateway_of_istio() -> None:
    gateway = read(ISTIO)
    assert [str(problem) for problem in gateway.problems] == [
        "g.yaml:7:67: spec.servers[0].tls.mode: PASSTHROUGH is not supported yet",
    ]
    assert all(isinstance(problem, Unsupported) for problem in gateway.problems)
    tls, http = gateway.servers
    assert (gateway.name, gateway.selector) == ("shop/in", (("app", "own"),))
    assert (tls.number, tls.protocol, tls.hosts_for("pay"), tls.at.line) == (443, "HTTPS", [], 7)
    assert (http.number, http.hosts_for("pay")) == (80, ["b.example", "c.example"])


def test_a_gateway_of_gateway_api() -> None:
    gateway = read(GATEWAY_API)
    assert [str(problem) for problem in gateway.problems] == [
        "g.yaml:5:21: spec.gatewayClassName: only 'istio' is supported, found 'nginx'",
        "g.yaml:7:50: spec.listeners[0].tls: at least one of certificateRefs",
        "g.yaml:9:23: spec.listeners[2].port: expected a whole number from 1 to 65535, found 0",
    ]
    tls, http, tcp = gateway.servers
    assert [(server.name, server.hosts) for server in gateway.servers] == [
        ("tls", ("*",)),
        ("http", ("*",)),
        ("tcp", ("a.example",)),
    ]
    assert http.route_namespaces is None
    for server in (tls, tcp):
        assert server.route_namespaces is not None
        assert server.route_namespaces.selects("shop", {})
        assert not server.route_namespaces.selects("pay", {})


NAMESPACES = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a, tier: web}}
---
apiVersion: v1
kind: Namespace
metadata: {name: pay}
"""
#: Selector -> the namespaces among shop and pay that it selects.
SELECTORS = {
    "{}": ["shop", "pay"],
    "{matchLabels: {team: a}}": ["shop"],
    "{matchLabels: {team: a, tier: db}}": [],
    "{matchLabels: {kubernetes.io/metadata.name: pay}}": ["pay"],
    "{matchExpressions: [{key: team, operator: In, values: [b, a]}]}": ["shop"],
    "{matchExpressions: [{key: team, operator: NotIn, values: [a]}]}": ["pay"],
    "{matchExpressions: [{key: team, operator: Exists}]}": ["shop"],
    "{matchExpressions: [{key: team, operator: DoesNotExist}]}": ["pay"],
}


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_of_namespaces(selector: str) -> None:
    labels = read_namespace_labels(manifest.parse(NAMESPACES, "n.yaml"))
    namespaces = f"allowedRoutes: {{namespaces: {{from: Selector, selector: {selector}}}}}"
    listener = f"{{name: http, port: 80, protocol: HTTP, {namespaces}}}"
    text = f"{GATEWAY_API[: GATEWAY_API.index('  - ')]}  - {listener}\n".replace("nginx", "istio")
    (server,) = read(text).servers
    assert server.route_namespaces is not None
    selects = server.route_namespaces.selects
    assert [name for name in ("shop", "pay") if selects(name, labels)] == SELECTORS[selector]


def test_labels_of_a_namespace_that_nothing_tells_are_not_guessed() -> None:
    selector = NamespaceSelector(
        (Requirement(NAME_LABEL, "NotIn", ("pay",)), Requirement("team", "Exists"))
    )
    assert selector.selects("pay", {}) is False, "its name says enough"
    assert selector.selects("shop", {}) is None


def test_a_policy() -> None:
    (policy,) = Inventory(manifest.parse(POLICY, "p.yaml")).peer_authentications
    assert (policy.mode, policy.selector) == ("STRICT", (("app", "shop"),))
    assert [str(problem) for problem in policy.problems] == [
        "p.yaml:1:1: in istio-system a policy with a selector has no effect"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (ISTIO.replace("servers:", "servers:\n  - web"), "spec.servers[0]"),
        (GATEWAY_API.replace("listeners:", "listeners:\n  -"), "spec.listeners[0]"),
    ],
)
def test_an_entry_that_is_no_mapping_is_a_problem(text: str, place: str) -> None:
    assert any(f"{place}: expected a mapping" in str(problem) for problem in read(text).problems)
