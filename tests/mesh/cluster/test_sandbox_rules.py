"""Rules rewritten to a sandbox: for hosts and namespaces of the run alone, the rest as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshproof.documents.manifest import Document, parse
from meshproof.inventory.destination_rules import read_destination_rules
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.sandbox.rule_rewriter import RuleRewriter, SandboxNames

SCOPE = RunScope("ab12")
SHOP = "meshproof-ab12-rules-2-shop"
PAY = "meshproof-ab12-rules-1-pay"
NAMES = SandboxNames.for_namespaces(SCOPE, ["pay", "shop"])
REWRITING = RuleRewriter(
    NAMES, SCOPE.labels, [SHOP, PAY], ["istio-system"], frozenset({"cart.shop.svc.cluster.local"})
)
RULES = """
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: cart, namespace: shop, annotations: {meshproof/tolerance: "0.05"}}
spec:
  hosts: [cart, shop.example.com, "*.example.org"]
  gateways: [mesh, way-in, pay/other]
  exportTo: ["*"]
  http:
    - match:
        - {authority: {exact: "cart.shop:80"}, gateways: [way-in], uri: {prefix: /a}}
      route:
        - {destination: {host: cart, subset: v1, port: {number: 8080}}, weight: 30}
        - {destination: {host: pay.pay.svc.cluster.local}, weight: 70}
      mirror: {host: cart, subset: v2}
      headers: {request: {set: {x-a: cart.shop.svc.cluster.local}}}
    - rewrite: {authority: elsewhere.example}
      mirrors: [{destination: {host: api.example.net}, percentage: {value: 5}}]
      route: [{destination: {host: api.example.net}}]
    - match: [{uri: {prefix: /d}}]
      delegate: {name: more}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  trafficPolicy: {tls: {mode: SIMPLE}}
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-in, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
"""


def documents() -> tuple[Document, Document, Document]:
    service, rule, gateway = parse(RULES, "rules.yaml")
    return service, rule, gateway


def spec(body: dict[str, Any]) -> dict[str, Any]:
    spec_body: dict[str, Any] = body["spec"]
    return spec_body


@pytest.mark.parametrize(
    ("host", "moved"),
    [
        ("cart.shop.svc.cluster.local", f"cart.{SHOP}.svc.cluster.local"),
        ("cart.shop", f"cart.{SHOP}"),
        ("cart.shop.svc:8080", f"cart.{SHOP}.svc:8080"),
        ("*.pay.svc.cluster.local", f"*.{PAY}.svc.cluster.local"),
        ("cart", "cart"),
        ("cart:80", "cart:80"),
        ("shop.example.com", "shop.example.com.meshproof-ab12.test"),
        ("*.example.com", "*.example.com.meshproof-ab12.test"),
        ("*", "*.meshproof-ab12.test"),
        ("cart.other.svc.cluster.local", "cart.other.svc.cluster.local.meshproof-ab12.test"),
    ],
)
def test_a_host_is_the_runs_own_and_can_be_told_back(host: str, moved: str) -> None:
    assert NAMES.rewrite_authority(host) == moved
    assert NAMES.restore_authority(moved) == host


def test_what_a_rule_has_written_itself_is_told_as_it_is() -> None:
    assert NAMES.restore_authority("elsewhere.example") == "elsewhere.example"
    assert NAMES.restore_authority("cart.shop.svc.cluster.local") == "cart.shop.svc.cluster.local"


def test_a_long_name_of_a_namespace_stays_one_that_kubernetes_takes() -> None:
    long = "a" * 63
    namespaces = SandboxNames.for_namespaces(SCOPE, ["b", long]).namespaces
    assert len(namespaces[long]) == 63
    assert namespaces[long].startswith("meshproof-ab12-rules-2-a")


def test_a_virtual_service_is_for_hosts_of_the_run_alone() -> None:
    service, _, _ = documents()
    run_object = REWRITING.rewrite_virtual_service(service)
    assert (run_object.namespace, run_object.name, run_object.at) == (SHOP, "cart", service.at)
    assert run_object.body["metadata"]["labels"] == SCOPE.labels
    rewritten = spec(run_object.body)
    assert rewritten["hosts"] == [
        f"cart.{SHOP}.svc.cluster.local",
        "shop.example.com.meshproof-ab12.test",
        "*.example.org.meshproof-ab12.test",
    ]
    assert rewritten["gateways"] == ["mesh", f"{SHOP}/way-in", f"{PAY}/other"]
    assert rewritten["exportTo"] == [SHOP, PAY, "istio-system"]
    first, second, third = rewritten["http"]
    assert first["match"] == [
        {
            "authority": {"exact": f"cart.{SHOP}:80"},
            "gateways": [f"{SHOP}/way-in"],
            "uri": {"prefix": "/a"},
        }
    ]
    cart = f"cart.{SHOP}.svc.cluster.local"
    assert first["route"] == [
        {"destination": {"host": cart, "subset": "v1", "port": {"number": 8080}}, "weight": 30},
        {"destination": {"host": f"pay.{PAY}.svc.cluster.local"}, "weight": 70},
    ]
    assert first["mirror"] == {"host": cart, "subset": "v2"}
    assert first["headers"] == {"request": {"set": {"x-a": "cart.shop.svc.cluster.local"}}}
    assert second["rewrite"] == {"authority": "elsewhere.example"}
    assert third["delegate"] == {"name": "more", "namespace": SHOP}


def test_nothing_is_sent_outside() -> None:
    service, _, _ = documents()
    text = json.dumps(REWRITING.rewrite_virtual_service(service).body)
    assert text.count("api.example.net.meshproof-ab12.test") == 2
    assert text.replace("api.example.net.meshproof-ab12.test", "").count("example.net") == 0


def test_what_is_not_for_a_gateway_is_seen_by_the_run_alone() -> None:
    service, _, _ = documents()
    body = service.root.to_python()
    body["spec"]["gateways"] = ["mesh"]
    (inside,) = parse(json.dumps(body), "rules.yaml")
    assert spec(REWRITING.rewrite_virtual_service(inside).body)["exportTo"] == [SHOP, PAY]


def test_of_a_destination_rule_the_subsets_stay() -> None:
    _, document, _ = documents()
    (rule,) = read_destination_rules([document])
    assert spec(REWRITING.rewrite_destination_rule(rule).body) == {
        "host": f"cart.{SHOP}.svc.cluster.local",
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
        "exportTo": [SHOP, PAY, "istio-system"],
    }


def test_a_gateway_is_at_the_clusters_own_for_hosts_of_the_run() -> None:
    _, _, gateway = documents()
    run_object = REWRITING.rewrite_gateway(gateway, ["*", "shop.example.com"], {"app": "ours"})
    assert spec(run_object.body) == {
        "selector": {"app": "ours"},
        "servers": [
            {
                "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                "hosts": ["*.meshproof-ab12.test", "shop.example.com.meshproof-ab12.test"],
            }
        ],
    }


def test_the_users_documents_stay_as_they_are() -> None:
    before = [document.root.to_python() for document in documents()]
    service, rule, gateway = documents()
    REWRITING.rewrite_virtual_service(service)
    for destination_rule in read_destination_rules([rule]):
        REWRITING.rewrite_destination_rule(destination_rule)
    REWRITING.rewrite_gateway(gateway, ["*"], {})
    assert [document.root.to_python() for document in (service, rule, gateway)] == before


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: books, namespace: shop}
spec:
  hostnames: [books.example]
  parentRefs:
    - {group: "", kind: Service, name: books, port: 80}
    - {name: gate, namespace: pay}
  rules:
    - name: a
      matches: [{path: {value: /a}}]
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copies, port: 80}}}]
      backendRefs:
        - name: books-v1
          port: 80
          weight: 3
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a]}}]
"""


def test_an_http_route_is_for_services_of_the_run_alone() -> None:
    (route,) = parse(ROUTE, "rules.yaml")
    run_object = REWRITING.rewrite_http_route(route)
    assert (run_object.body["apiVersion"], run_object.namespace) == (
        "gateway.networking.k8s.io/v1",
        SHOP,
    )
    rewritten = spec(run_object.body)
    assert set(rewritten) == {"parentRefs", "rules"}
    parent = {"group": "", "kind": "Service", "name": "books", "port": 80, "namespace": SHOP}
    assert rewritten["parentRefs"] == [parent]
    (rule,) = rewritten["rules"]
    assert set(rule) == {"matches", "filters", "backendRefs"}, "istiod would use its name alone"
    assert rule["matches"] == [{"path": {"value": "/a"}}]
    copies = {"name": "copies", "port": 80, "namespace": SHOP}
    assert rule["filters"][0]["requestMirror"] == {"backendRef": copies}
    (backend,) = rule["backendRefs"]
    changes = backend.pop("filters")
    assert backend == {"name": "books-v1", "port": 80, "weight": 3, "namespace": SHOP}
    assert changes[0]["requestHeaderModifier"] == {"remove": ["x-a"]}
