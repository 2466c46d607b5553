"""What Gateway API needs of Envoy: whole elements, ports of a service, one proxy a Gateway."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.envoy import Resource
from tests.mesh.envoy.translating import (
    cluster,
    read_destinations,
    routes,
    snapshot,
    translate_port,
)

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  gatewayClassName: istio
  listeners:
  - {name: web, port: 80, protocol: HTTP, hostname: 'HOST'}
---
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: page}
spec:
  parentRefs: [PARENT]
  rules:
  - RULE
---
"""
TO_PAGE = "backendRefs: [{name: page, port: 80}]"
AT_GATE = ROUTE.replace("PARENT", "{name: gate}")
IN_MESH = ROUTE.replace("PARENT", "{group: '', kind: Service, name: many, port: 81}")


def gateway(host: str = "*.example") -> str:
    return GATEWAY.replace("HOST", host)


def served(rule: str) -> Resource:
    """Return Envoy's route of a rule at a gateway."""
    text = gateway() + AT_GATE.replace("RULE", f"{{matches: [{{path: {{value: /a/}}}}], {rule}}}")
    (host,) = translate_port(snapshot(text), 80)["virtual_hosts"]
    assert host["domains"] == ["*.example"]
    (routes,) = host["routes"]
    return dict(routes)


def test_a_prefix_takes_whole_elements() -> None:
    assert served(TO_PAGE)["match"] == {"path_separated_prefix": "/a"}


def replaced(kind: str, key: str, to: str) -> str:
    path = f"path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{to}'}}"
    return f"filters: [{{type: {kind}, {key}: {{{path}}}}}]"


REGEX = {"regex_rewrite": {"pattern": {"regex": "^/a/?"}, "substitution": "/"}}
PREFIXES = {"/b": {"prefix_rewrite": "/b"}, "/b/": {"prefix_rewrite": "/b"}, "/": REGEX, "": REGEX}


@pytest.mark.parametrize("to", PREFIXES)
def test_a_prefix_is_replaced_by_whole_elements(to: str) -> None:
    action = served(f"{replaced('URLRewrite', 'urlRewrite', to)}, {TO_PAGE}")["route"]
    changes = {key: value for key, value in action.items() if key.endswith("_rewrite")}
    assert changes == PREFIXES[to]


@pytest.mark.parametrize("to", ["/b", "/b/", "/"])
def test_a_redirect_replaces_a_prefix_as_it_is_written(to: str) -> None:
    """As istiod has it: `/` before `/x` is `//x`."""
    redirect = served(replaced("RequestRedirect", "requestRedirect", to))["redirect"]
    assert redirect["prefix_rewrite"] == to


def test_other_ports_of_the_service_are_as_without_a_route() -> None:
    text = IN_MESH.replace("RULE", f"{{matches: [{{path: {{value: /a}}}}], {TO_PAGE}}}")
    assert read_destinations(text, "many", port=81) == [cluster("", "page")]
    (default,) = routes(text, "many", port=80)
    assert default["match"] == {"prefix": "/"}
    assert default["route"]["cluster"] == cluster("", "many")


def test_a_port_that_the_service_has_not_is_refused() -> None:
    text = IN_MESH.replace("port: 81}", "port: 8181}").replace("RULE", f"{{{TO_PAGE}}}")
    with pytest.raises(BadRules) as error:
        snapshot(text)
    assert str(error.value) == "r.yaml:1:1: many has no port 8181; it has: 80, 81"


def test_two_gateways_share_no_hosts_where_one_proxy_stands_for_all() -> None:
    def check(text: str) -> None:
        translate.check_one_proxy(snapshot(gateway() + text).rules.gateways)

    second = gateway("HOST").replace("name: gate", "name: second")
    with pytest.raises(BadRules) as error:
        check(second.replace("HOST", "a.example"))
    assert str(error.value) == (
        "r.yaml:15:5: default/second/web and default/gate/web at r.yaml:7 have hosts of port 80 in "
        "common, but not the proxy; that is not supported yet"
    )
    check(second.replace("HOST", "a.test"))
    check(second.replace("HOST", "a.example").replace("80", "81"))


def test_a_wider_listener_answers_for_a_narrower_one_without_routes() -> None:
    narrow = "  - {name: narrow, port: 80, protocol: HTTP, hostname: a.example}\n---\n"
    wide = AT_GATE.replace("{name: gate}", "{name: gate, sectionName: web}")
    text = gateway().replace("---\n", narrow, 1) + wide.replace("RULE", f"{{{TO_PAGE}}}")
    hosts = translate_port(snapshot(text), 80)["virtual_hosts"]
    assert {host["name"]: len(host["routes"]) for host in hosts} == {"*.example": 1}
