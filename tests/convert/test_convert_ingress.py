"""Ingress of Istio's class -> Gateway and VirtualService, with the RouteRules behind it."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.base.errors import BadRules
from meshproof.convert.gateway_routes import intersect
from meshproof.documents.manifest import At
from meshproof.rules.model import StringMatch

HEAD = """\
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: gate, annotations: {kubernetes.io/ingress.class: istio}}
spec:
"""
SHOP = "backend: {serviceName: shop, servicePort: 80}"


def ingress(*lines: str) -> str:
    return HEAD + "".join(f"  {line}\n" for line in lines)


def paths(*entries: str) -> str:
    found = ", ".join(f"{{{entry}}}" for entry in entries)
    return ingress(f"rules: [{{http: {{paths: [{found}]}}}}]")


def to(host: str, port: int = 80) -> list[Any]:
    return [{"destination": {"host": host, "port": {"number": port}}}]


def test_a_gateway_for_its_hosts(converted: Any) -> None:
    rule = f"- {{host: a.example, http: {{paths: [{{path: /a, {SHOP}}}]}}}}"
    found = converted(ingress("rules:", rule)).objects
    assert found["Gateway", "gate"]["spec"] == {
        "selector": {"istio": "ingressgateway"},
        "servers": [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a.example"]}
        ],
    }
    assert found["VirtualService", "gate"]["spec"] == {
        "hosts": ["a.example"],
        "gateways": ["gate"],
        "http": [{"match": [{"uri": {"exact": "/a"}}], "route": to("shop")}],
    }


def test_one_by_its_class_is_converted_like_one_by_its_annotation(converted: Any) -> None:
    lines = f"rules: [{{http: {{paths: [{{{SHOP}}}]}}}}]"
    by_class = HEAD.replace("extensions/v1beta1", "networking.k8s.io/v1beta1").replace(
        ", annotations: {kubernetes.io/ingress.class: istio}", ""
    )
    of_istio = (
        "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: public}\n"
        "spec: {controller: istio.io/ingress-controller}\n"
    )
    text = f"{by_class}  ingressClassName: public\n  {lines}\n{of_istio}"
    assert converted(text).objects == converted(ingress(lines)).objects


def test_exact_paths_come_first_then_the_longest_prefix(converted: Any) -> None:
    entries = [SHOP, f"path: /a.*, {SHOP}", f"path: /a/b/.*, {SHOP}", f"path: /c, {SHOP}"]
    found = [route.get("match") for route in converted(paths(*entries)).routes("gate")]
    uris = [{"exact": "/c"}, {"prefix": "/a/b/"}, {"prefix": "/a"}]
    assert found == [*([{"uri": one}] for one in uris), None]


V1 = "backend: {service: {name: shop, port: {number: 80}}}"


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("path: /a, pathType: Exact", [{"uri": {"exact": "/a"}}]),
        ("path: /a.*, pathType: Exact", [{"uri": {"exact": "/a.*"}}]),
        ("path: /a, pathType: Prefix", [{"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a/"}}]),
        ("path: /, pathType: Prefix", [{"uri": {"prefix": "/"}}]),
        ("path: /a.*, pathType: ImplementationSpecific", [{"uri": {"prefix": "/a"}}]),
    ],
)
def test_path_types_of_today(converted: Any, path: str, match: list[Any]) -> None:
    text = paths(f"{path}, {V1}").replace("extensions/v1beta1", "networking.k8s.io/v1")
    assert converted(text).routes("gate") == [{"match": match, "route": to("shop")}]


def test_a_default_backend_takes_the_rest(converted: Any) -> None:
    found = converted(ingress("backend: {serviceName: rest, servicePort: 8080}"))
    assert found.routes("gate") == [{"route": to("rest", 8080)}]
    assert found.objects["VirtualService", "gate"]["spec"]["hosts"] == ["*"]


def test_each_host_has_its_virtual_service(converted: Any) -> None:
    rules = (
        f"rules: [{{host: a.example, http: {{paths: [{{{SHOP}}}]}}}}, "
        f"{{http: {{paths: [{{{SHOP}}}]}}}}]"
    )
    found = converted(ingress(rules)).objects
    assert set(found) == {
        ("Gateway", "gate"),
        ("VirtualService", "gate-a.example"),
        ("VirtualService", "gate-all"),
    }


def test_a_host_without_a_dot_is_named(converted: Any) -> None:
    found = converted(ingress(f"rules: [{{host: a, http: {{paths: [{{{SHOP}}}]}}}}]"))
    assert found.said == [
        "old.yaml:1:1: error: the host 'a' without a dot is taken for a Service's name by a "
        "VirtualService"
    ]


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 9080, name: web}]}
---
"""
BY_NAME = "path: /a, backend: {serviceName: shop, servicePort: web}"


def test_a_port_by_name_is_that_of_the_service(converted: Any) -> None:
    assert converted(SERVICE + paths(BY_NAME)).routes("gate")[0]["route"] == to("shop", 9080)


def test_without_the_service_a_port_by_name_is_named(converted: Any) -> None:
    found = converted(paths(BY_NAME))
    (said,) = found.said
    assert "old.yaml:5:" in said
    assert "give the Service shop too: it says which port 'web' is" in said
    assert found.routes("gate")[0]["route"] == [{"destination": {"host": "shop"}}]


def test_tls_has_its_certificate_from_a_secret(converted: Any) -> None:
    found = converted(ingress("tls: [{hosts: [a.example], secretName: cert}]", f"{SHOP}"))
    assert found.objects["Gateway", "gate"]["spec"]["servers"][1] == {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
        "hosts": ["a.example"],
    }
    assert found.said == [
        "old.yaml:5:42: note: spec.tls[0].secretName: the Secret must lie in the namespace of the "
        "ingress gateway"
    ]


def test_annotations_of_a_controller_are_named(converted: Any) -> None:
    text = ingress(SHOP).replace("class: istio", "class: istio, ingress.kubernetes.io/x: y, a: b")
    found = converted(text)
    assert found.objects["Gateway", "gate"]["metadata"]["annotations"] == {"a": "b"}
    (said,) = found.said
    assert "is not converted: it is for an ingress controller" in said


def test_rules_of_the_service_hold_behind_it(converted: Any, rule: Any) -> None:
    text = "---\n".join(
        [
            paths(f"path: /api.*, {SHOP}"),
            rule(
                "precedence: 3",
                "match: {request: {headers: {uri: {prefix: /api/v2}, a: b}}}",
                "route: [{labels: {version: v2}}]",
                name="two",
            ),
            rule(
                "precedence: 2",
                "match: {request: {headers: {uri: {prefix: /other}}}}",
                name="elsewhere",
            ),
            rule("precedence: 1", "match: {source: {labels: {app: page}}}", name="inside"),
            rule("route: [{labels: {version: v1}}]", name="rest"),
        ]
    )
    found = converted(text)
    port = {"number": 80}
    assert found.routes("gate") == [
        {
            "name": "two",
            "match": [{"headers": {"a": {"exact": "b"}}, "uri": {"prefix": "/api/v2"}}],
            "route": [{"destination": {"host": "shop", "subset": "v2", "port": port}}],
        },
        {
            "name": "rest",
            "match": [{"uri": {"prefix": "/api"}}],
            "route": [{"destination": {"host": "shop", "subset": "v1", "port": port}}],
        },
    ]
    assert [route["name"] for route in found.routes("shop")] == [
        "two",
        "elsewhere",
        "inside",
        "rest",
    ]


def test_a_regex_for_the_path_behind_it_is_named(converted: Any, rule: Any) -> None:
    regex = rule("match: {request: {headers: {uri: {regex: '/a.*b'}}}}")
    found = converted(f"{paths(f'path: /a.*, {SHOP}')}---\n{regex}")
    (said,) = found.said
    assert "'r' at old.yaml:7 has a regex for the path: what both take cannot be written" in said
    assert said.partition(": error: ")[2] in found.text


def test_a_rewrite_behind_a_narrower_path_is_named(converted: Any, rule: Any) -> None:
    rewriting = rule("match: {request: {headers: {uri: {prefix: /a}}}}", "rewrite: {uri: /x}")
    found = converted(f"{paths(f'path: /a/b.*, {SHOP}')}---\n{rewriting}")
    (said,) = found.said
    assert said.startswith("old.yaml:13:18: error: spec.rewrite.uri replaces what the Ingress at ")


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (("exact", "/a"), ("exact", "/a"), ("exact", "/a")),
        (("exact", "/a"), ("exact", "/b"), None),
        (("exact", "/ab"), ("prefix", "/a"), ("exact", "/ab")),
        (("prefix", "/ab"), ("exact", "/a"), None),
        (("prefix", "/ab"), ("prefix", "/a"), ("prefix", "/ab")),
        (("prefix", "/a"), ("prefix", "/b"), None),
    ],
)
def test_what_two_conditions_on_a_path_take(one: Any, other: Any, found: Any) -> None:
    def match(of: Any) -> Any:
        return StringMatch(of[0], of[1], At("", 1)) if of else None

    assert intersect(match(one), match(other)) == match(found)
    assert intersect(match(other), match(one)) == match(found)


def test_an_ingress_of_another_class_is_not_ours(converted: Any) -> None:
    with pytest.raises(BadRules, match="nothing to convert"):
        converted(ingress(SHOP).replace("class: istio", "class: nginx"))


def test_an_ingress_without_a_backend_is_refused(converted: Any) -> None:
    with pytest.raises(BadRules, match=r"old\.yaml:4:.*at least one rule with a path"):
        converted(HEAD.replace("spec:\n", "spec: {rules: [{host: a}]}\n"))
