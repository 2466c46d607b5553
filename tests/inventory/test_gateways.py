"""Gateways and policies: all problems are collected, and the rest of the object is used."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Unsupported
from meshproof.documents import manifest
from meshproof.inventory import Inventory
from meshproof.inventory.gateways import Gateway, read_gateways

ISTIO = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: shop}
spec:
  selector: {app: own}
  servers:
  - {port: {number: 443, name: tls, protocol: HTTPS}, tls: {mode: SIMPLE}, hosts: [./a.example]}
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
        "g.yaml:5:13: spec.selector: only 'istio: ingressgateway' is supported",
        "g.yaml:7:47: spec.servers[0].port.protocol: HTTPS is not supported yet",
        "g.yaml:8:73: spec.servers[1].hosts[1]: a namespace of its rules is not supported yet",
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
        "g.yaml:7:38: spec.listeners[0].protocol: HTTPS is not supported yet",
        "g.yaml:9:23: spec.listeners[2].port: expected a whole number from 1 to 65535, found 0",
    ]
    assert [(server.name, server.hosts, server.route_namespaces) for server in gateway.servers] == [
        ("tls", ("*",), ("shop",)),
        ("http", ("*",), None),
        ("tcp", ("a.example",), ("shop",)),
    ]


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
