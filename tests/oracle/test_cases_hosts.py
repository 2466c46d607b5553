"""Cases by the names of a host: with a port, short, and names that no rule has."""

from __future__ import annotations

from collections.abc import Callable

from meshproof.oracle.derive import derive
from meshproof.rules.model import RuleSet

GATE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {number: 8080, name: http, protocol: HTTP}}]
"""
Read = Callable[[str], RuleSet]


def virtual_service(name: str, host: str, gateway: str = "gate", match: str = "{}") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ['{host}']
  gateways: [{gateway}]
  http:
  - match: [{match}]
    route: [{{destination: {{host: {name}}}}}]
"""


def hosts_of(read: Read, text: str) -> dict[str, int]:
    """Return the Host header of each case about hosts -> the expected status."""
    cases = derive(read(text)).cases
    return {case.call.host_header: case.status for case in cases if ": host " in case.id}


def test_a_gateway_is_asked_for_hosts_with_a_port_and_for_hosts_that_no_rule_names(
    read: Read,
) -> None:
    assert hosts_of(read, GATE + virtual_service("shop", "www.shop.example")) == {
        "www.shop.example:8080": 200,
        "meshproof-other.shop.example": 404,
        "meshproof-other.www.shop.example": 404,
    }


def test_a_host_that_another_rule_names_is_no_unnamed_one(read: Read) -> None:
    text = GATE + virtual_service("shop", "www.shop.example") + virtual_service("all", "*.example")
    assert 404 not in {
        status
        for host, status in hosts_of(read, text).items()
        if host.endswith(".shop.example") or host.endswith(".www.shop.example")
    }


def test_a_wildcard_misses_its_own_domain(read: Read) -> None:
    assert hosts_of(read, GATE + virtual_service("shop", "*.shop.example")) == {
        "meshproof-other.shop.example:8080": 200,
        "shop.example": 404,
        "meshproof-other-shop.example": 404,
    }


def test_a_host_for_all_has_no_unnamed_one(read: Read) -> None:
    assert 404 not in hosts_of(read, GATE + virtual_service("shop", "*")).values()


def test_a_service_is_asked_for_by_its_short_name_and_with_its_port(read: Read) -> None:
    assert hosts_of(read, virtual_service("shop", "shop", "mesh")) == {"shop": 200, "shop:80": 200}


def test_a_condition_on_the_port_is_missed_by_each_other_port(read: Read) -> None:
    text = virtual_service("shop", "shop", "mesh", "{uri: {exact: /a}, port: 8080}")
    cases = derive(read(text), {"shop.default.svc.cluster.local": (80, 8080)}).cases
    routes = {case.call.port: case.route_index for case in cases if case.call.path == "/a"}
    assert routes == {80: None, 8080: 0}


def test_an_authority_below_a_wildcard_is_reached(read: Read) -> None:
    match = "{authority: {exact: a.shop.example}}"
    text = GATE + virtual_service("shop", "*.shop.example", match=match)
    plan = derive(read(text))
    assert plan.coverage_share == 1
    statuses = {case.call.host_header: case.status for case in plan.cases}
    assert statuses["a.shop.example"] == 200
    assert statuses["meshproof-other.shop.example"] == 404


def test_an_authority_that_belongs_to_a_narrower_host_is_not_asked_for(read: Read) -> None:
    match = "{authority: {exact: a.shop.example}}"
    text = GATE + virtual_service("shop", "*.shop.example", match=match)
    text += virtual_service("a", "a.shop.example")
    plan = derive(read(text))
    assert plan.coverage[0].reached == ()
