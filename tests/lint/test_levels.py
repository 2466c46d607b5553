"""An error is what Istio or Kubernetes refuses, or what makes requests fail; no other defect."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import lint
from tests.manifest_text import write_head

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n---\n"
SUBSETS = write_head("DestinationRule", "web")
DESTINATION_RULE = (
    SUBSETS + "spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}\n---\n"
)
LATER_RULE = DESTINATION_RULE.replace("name: web", "name: web-2")
TWICE = DESTINATION_RULE.replace("subsets: [", "subsets: [{name: v1, labels: {version: v0}}, ")
GATEWAY = write_head("Gateway", "gw")
DELEGATE = write_head("VirtualService", "part") + (
    "spec: {http: [{route: [{destination: {host: web}}]}]}\n"
)
HTTP_ROUTE = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web}\n"
    "spec: {parentRefs: [{kind: Service, group: '', name: web}], rules: [RULE]}\n"
)


def find_level(text: str, code: str) -> str:
    """Return the level of the one finding of a code."""
    (level,) = {
        str(finding.level) for finding in lint(parse(text, "a.yaml")) if finding.code == code
    }
    return level


def write_route(route: str) -> str:
    return write_head("VirtualService", "web") + f"spec: {{hosts: [web], http: [{{{route}}}]}}\n"


def write_server(protocol: str, tls: str = "") -> str:
    port = f"{{number: 443, name: a, protocol: {protocol}}}"
    return GATEWAY + f"spec: {{servers: [{{hosts: ['*'], port: {port}{tls}}}]}}\n"


def write_split(first: str, second: str) -> str:
    return f"route: [{{destination: {{host: web{first}}}, {{destination: {{host: web{second}}}]"


@pytest.mark.parametrize(
    ("route", "level"),
    [
        (write_split(", subset: v1}, weight: 90", ", subset: v9}, weight: 10"), "error"),
        (write_split(", subset: v1}, weight: 100", ", subset: v9}, weight: 0"), "warning"),
        (write_split(", subset: v1}, weight: 100", ", subset: v9}"), "warning"),
        ("route: [{destination: {host: web, subset: v9}}]", "error"),
        ("route: [{destination: {host: web, subset: v9}, weight: 0}]", "error"),
        ("route: [{destination: {host: web}}], mirror: {host: web, subset: v9}", "warning"),
    ],
)
def test_an_absent_subset_is_an_error_where_requests_go_there(route: str, level: str) -> None:
    assert find_level(DESTINATION_RULE + write_route(route), "MP0501") == level


@pytest.mark.parametrize(
    ("rule", "level"),
    [
        (write_route("route: [{destination: {host: web, port: {number: 81}}}]"), "error"),
        (write_route("match: [{port: 81}], route: [{destination: {host: web}}]"), "warning"),
        (
            SUBSETS + "spec: {host: web, trafficPolicy: {portLevelSettings: "
            "[{port: {number: 81}, loadBalancer: {simple: RANDOM}}]}}\n",
            "warning",
        ),
    ],
)
def test_an_absent_port_is_an_error_where_requests_go_there(rule: str, level: str) -> None:
    assert find_level(SERVICE + rule, "MP0510") == level


@pytest.mark.parametrize(
    ("text", "code", "level"),
    [
        (write_route(write_split("}", "}, weight: 80")), "MP0112", "warning"),
        (write_route(write_split("}", "}")), "MP0112", "error"),
        (write_route(write_split("}, weight: 0", "}, weight: 0")), "MP0113", "error"),
        (write_route("route: [{destination: {host: web}, weight: 0}]"), "MP0113", "warning"),
        (HTTP_ROUTE.replace("RULE", "{backendRefs: [{name: a, weight: 0}]}"), "MP0113", "warning"),
        (write_route("match: [{uri: {prefix: /a}}]"), "MP0116", "error"),
        (HTTP_ROUTE.replace("RULE", "{matches: [{method: GET}]}"), "MP0116", "warning"),
        (DELEGATE, "MP0106", "warning"),
        (DELEGATE.replace("{http", "{gateways: [a], http"), "MP0106", "error"),
        (TWICE, "MP0503", "error"),
        (DESTINATION_RULE + LATER_RULE, "MP0503", "warning"),
    ],
)
def test_what_istio_and_kubernetes_take_is_no_error(text: str, code: str, level: str) -> None:
    assert find_level(text, code) == level


@pytest.mark.parametrize(
    ("server", "level"),
    [
        (write_server("HTTPS"), "error"),
        (write_server("HTTP", ", tls: {mode: SIMPLE, credentialName: a}"), "error"),
        (write_server("HTTP", ", tls: {mode: PASSTHROUGH}"), "warning"),
        (write_server("HTTP", ", tls: {mode: PASSTHROUGH, caCertificates: a.pem}"), "error"),
        (write_server("TCP", ", tls: {httpsRedirect: true}"), "error"),
    ],
)
def test_a_server_that_istio_refuses_is_an_error(server: str, level: str) -> None:
    assert find_level(server, "MP0605") == level
