"""Gateways with TLS, of several proxies and with hosts for some namespaces, on real Envoys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.run.record import Outcome

RULES = Path(__file__).with_name("gateways.yaml")
pytestmark = pytest.mark.local
Run = Callable[..., Any]
#: What is served wrongly -> the cases that fail, all of them.
FAULTS = {
    "certificate of another server": (
        r"(a|\*\.b)\.example\.com: (?!TLS for |any request in plain).*"
    ),
    "routes of another server": (
        r"a\.example\.com: (path|any other request|host a).*|\*\.b\.example\.com: .* -> pay"
        r"|x\.b\.example\.com: .* \(no rule names it\) -> 404"
    ),
    "no client certificate asked for": r".*: without a client certificate -> no TLS",
    "client certificate insisted on": r"x\.b\.example\.com: without a client certificate -> pay",
    "TLS for every name": r".*\(no server has it\) -> no TLS",
    "no redirect to https": r".*\.example\.com: any request in plain HTTP on port 80.* -> 301 .*",
    "all gateways at each proxy": (
        r"(a|\*\.b)\.example\.com: TLS for .*"
        r"|(own|plain)\.example\.com: host \w+\.example\.com \(at another proxy\) -> 404"
    ),
    "hosts for all namespaces": r".*\(for other namespaces\) -> 404",
}

GATEWAY_API = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: web}}
---
apiVersion: v1
kind: Namespace
metadata: {name: pay}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate, namespace: infra}
spec:
  gatewayClassName: istio
  listeners:
  - {name: a, port: 443, protocol: HTTPS, hostname: a.example, LISTENER}
  - {name: b, port: 443, protocol: HTTPS, hostname: b.example, LISTENER}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: NAMESPACE}
spec:
  parentRefs: [{name: gate, namespace: infra}]
  hostnames: [a.example, b.example]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
""".replace(
    "LISTENER",
    "tls: {certificateRefs: [{name: cert}]}, "
    "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: web}}}}",
)


def test_every_case_passes_over_https_where_tls_ends(meshproof: Run) -> None:
    ended = meshproof("test", "--rules", str(RULES))
    assert ended.code == 0, ended.output
    names = set(ended.results)
    for pattern in FAULTS.values():
        assert any(re.fullmatch(pattern, name) for name in names), pattern


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_serving_is_red(meshproof: Run, fault: str) -> None:
    plugin = ("-p", "tests.user_rules.own_faults", "--own-fault", fault)
    ended = meshproof("test", "--rules", str(RULES), *plugin)
    assert ended.code == 1, ended.output
    expected = {name for name in ended.results if re.fullmatch(FAULTS[fault], name)}
    assert set(ended.list_failed()) == expected, ended.output


def test_a_red_case_says_what_was_wrong_with_the_certificate_and_how_to_see_it(
    meshproof: Run,
) -> None:
    plugin = ("-p", "tests.user_rules.own_faults", "--own-fault", "certificate of another server")
    ended = meshproof("test", "--rules", str(RULES), *plugin)
    assert ended.code == 1, ended.output
    output = " ".join(ended.output.split())
    assert "wrong certificate" in output
    assert "certificate subject name matches target host" in output
    assert re.search(
        r"curl -i --resolve a\.example\.com:\d+:127\.0\.0\.1 --cacert \S+/ca\.pem "
        r"-H 'Host: a\.example\.com' https://a\.example\.com:\d+/ap",
        output,
    )


def test_a_listener_of_gateway_api_ends_tls_for_namespaces_with_a_label(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(GATEWAY_API.replace("NAMESPACE", "shop"))
    ended = meshproof("test", "--rules", "gate.yaml")
    assert ended.code == 0, ended.output
    assert (
        "a.example: TLS for meshproof-other.example (no server has it) -> no TLS" in ended.results
    )
    plugin = ("-p", "tests.user_rules.own_faults", "--own-fault", "certificate of another server")
    ended = meshproof("test", "--rules", "gate.yaml", *plugin)
    assert ended.code == 1, ended.output
    right = {name for name in ended.results if "no server has it" in name}
    assert set(ended.list_failed()) == set(ended.results) - right


def test_a_route_of_a_namespace_without_the_label_does_not_attach(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(GATEWAY_API.replace("NAMESPACE", "pay"))
    ended = meshproof("test", "--rules", "gate.yaml")
    assert ended.code == 1, ended.output
    output = " ".join(ended.output.split())
    assert "no listener of infra/gate takes a HTTPRoute of namespace pay" in output


def test_a_namespace_whose_labels_nothing_tells_is_not_guessed(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(GATEWAY_API.replace("NAMESPACE", "other"))
    ended = meshproof("test", "--rules", "gate.yaml")
    assert ended.code == 3, ended.output
    output = " ".join(ended.output.split())
    assert "- HTTPRoute other/shop not supported" in output
    assert "no Namespace object says those of other" in output


PARTLY_SERVED = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: [a.example]
    port: {number: 80, name: http, protocol: HTTP}
  - hosts: [b.example]
    port: {number: 443, name: passed, protocol: TLS}
    tls: {mode: PASSTHROUGH}
  - hosts: ["*"]
    port: {number: 3306, name: tcp, protocol: TCP}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example]
  gateways: [gate]
  http: [{route: [{destination: {host: web}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b, namespace: shop}
spec:
  hosts: [b.example]
  gateways: [gate, mesh]
  http: [{route: [{destination: {host: web}}]}]
"""


def test_a_server_that_is_not_served_leaves_the_others_of_its_gateway(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(PARTLY_SERVED)
    ended = meshproof("test", "--rules", "gate.yaml")
    assert ended.code == 3, ended.output
    output = " ".join(ended.output.split())
    assert "- Gateway shop/gate not supported" in output
    assert "spec.servers[1].port.protocol: TLS is not supported yet" in output
    assert "spec.servers[2].port.protocol: TCP is not supported yet" in output
    assert "- VirtualService shop/b at Gateway shop/gate not supported" in output
    passed = {name for name, result in ended.results.items() if result.outcome is Outcome.PASSED}
    assert {"a.example: any request -> web", "b.example: any request -> web"} <= passed
    allowed = "Gateway/gate:spec.servers.port.protocol"
    ended = meshproof("test", "--rules", "gate.yaml", "--allow-unsupported", allowed)
    assert ended.code == 0, ended.output


MIXED_PROTOCOLS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web}}]}]
  tls:
  - match: [{port: 443, sniHosts: [web.shop.svc.cluster.local]}]
    route: [{destination: {host: web, port: {number: 443}}}]
  tcp:
  - match: [{port: 3306}]
    route: [{destination: {host: web, port: {number: 3306}}}]
"""


@pytest.mark.parametrize("keys", [("tls", "tcp"), ("tls",), ("tcp",)])
def test_routes_of_other_protocols_leave_those_of_http(
    meshproof: Run, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    document = yaml.safe_load(MIXED_PROTOCOLS)
    for key in {"tls", "tcp"}.difference(keys):
        del document["spec"][key]
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(document))
    ended = meshproof("test", "--rules", "web.yaml")
    assert ended.code == 3, ended.output
    output = " ".join(ended.output.split())
    assert "- VirtualService shop/web not supported" in output
    for key in ("tls", "tcp"):
        assert (f"spec.{key} is not supported yet" in output) == (key in keys)
    passed = {name for name, result in ended.results.items() if result.outcome is Outcome.PASSED}
    assert "web: any request -> any version" in passed, ended.output
    options = [("--allow-unsupported", f"VirtualService/web:spec.{key}") for key in keys]
    for option in options:  # one field allowed says nothing of the other
        assert meshproof("plan", "web.yaml", *option).code == (0 if len(keys) == 1 else 3)
    assert meshproof("plan", "web.yaml", *(text for option in options for text in option)).code == 0


WITHHELD = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: [./a.example, c.example]
    port: {number: 80, name: http, protocol: HTTP}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: pay}
spec:
  hosts: [a.example]
  gateways: [shop/gate]
  http: [{route: [{destination: {host: web}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: c, namespace: pay}
spec:
  hosts: [c.example]
  gateways: [shop/gate]
  http: [{route: [{destination: {host: web}}]}]
"""


def test_a_rule_whose_hosts_a_gateway_has_for_others_is_unreached_and_hides_no_other(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "gate.yaml").write_text(WITHHELD)
    ended = meshproof("test", "--rules", "gate.yaml")
    assert ended.code == 3, ended.output
    output = " ".join(ended.output.split())
    assert "route 1 of a is unreached: shop/gate serves none of the hosts a.example" in output
    assert ended.results["c.example: any request -> web"].outcome is Outcome.PASSED
