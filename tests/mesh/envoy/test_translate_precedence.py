"""Several rules for one host: the translator joins or drops them as istiod does."""

from __future__ import annotations

import pytest

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
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
"""
OLD, NEW = (f', creationTimestamp: "2026-0{month}-01T00:00:00Z"' for month in (1, 2))
MAIN = "{host: reviews}"
OTHER = "{host: many}"


def rule(name: str, *routes: str, made: str = "", head: str = "", gateway: str = "") -> str:
    where = f"hosts: [shop.example]\n  gateways: [{gateway}]" if gateway else "hosts: [reviews]"
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}{made}}}
spec:
  {where}
{head}  http:
{"".join(routes)}---
"""


def route(to: str, match: str = "") -> str:
    matches = f"    match: [{match}]\n" if match else ""
    return f"  - route: [{{destination: {to}}}]\n{matches}"


API = "{uri: {prefix: /api}}"


def gateway_routes(*rules: str) -> list[tuple[object, object]]:
    config = translate_port(snapshot(GATEWAY + "".join(rules)), 80)
    (host,) = config["virtual_hosts"]
    return [
        (translated["match"].get("prefix"), read_destination(translated))
        for translated in host["routes"]
    ]


@pytest.mark.parametrize("match", ["", "{uri: {prefix: /}}", "{port: 80}"])
def test_what_takes_all_comes_behind_the_routes_of_others(match: str) -> None:
    assert gateway_routes(
        rule("a", route(MAIN, match), gateway="gw"), rule("b", route(OTHER, API), gateway="gw")
    ) == [("/api", cluster("", "many")), ("/", cluster(""))]


def test_what_takes_all_ends_the_routes_of_its_own_rule() -> None:
    dead = route(OTHER, API)
    assert gateway_routes(
        rule("a", route(MAIN), dead, gateway="gw"),
        rule("b", route(OTHER, "{uri: {prefix: /b}}"), gateway="gw"),
    ) == [("/b", cluster("", "many")), ("/", cluster(""))]


def test_an_empty_prefix_stays_where_it_is() -> None:
    assert gateway_routes(
        rule("a", route(MAIN, '{uri: {prefix: ""}}'), gateway="gw"),
        rule("b", route(OTHER, API), gateway="gw"),
    ) == [("", cluster("")), ("/api", cluster("", "many"))]


def test_at_a_gateway_the_oldest_rule_comes_first() -> None:
    rules = (
        rule("a", route(MAIN, "{uri: {prefix: /a}}"), made=NEW, gateway="gw"),
        rule("b", route(OTHER, API), made=OLD, gateway="gw"),
    )
    assert [prefix for prefix, _ in gateway_routes(*rules)] == ["/api", "/a"]


def test_in_the_mesh_the_oldest_rule_has_the_host_alone() -> None:
    rules = rule("a", route(OTHER), made=NEW) + rule("b", route(MAIN, API), made=OLD)
    assert read_destinations(rules) == [cluster("")]


def test_a_rule_for_the_namespace_comes_before_an_older_one_for_all() -> None:
    exported = "  exportTo: [.]\n"
    rules = rule("a", route(MAIN), made=OLD) + rule("b", route(OTHER), made=NEW, head=exported)
    assert read_destinations(rules) == [cluster("", "many")]


def test_a_rule_that_is_not_exported_to_the_caller_is_as_if_it_were_not_there() -> None:
    assert read_destinations(rule("a", route(OTHER), head="  exportTo: [bank]\n")) == [cluster("")]


def test_a_rule_without_a_route_for_the_caller_leaves_the_host_to_the_next() -> None:
    rules = rule("a", route(MAIN, "{sourceLabels: {app: other}}"), made=OLD)
    rules += rule("b", route(OTHER), made=NEW)
    assert read_destinations(rules) == [cluster("", "many")]


def test_a_gateway_of_another_namespace_gets_no_private_rule() -> None:
    private = rule("a", route(MAIN), head="  exportTo: [.]\n", gateway="gw")
    config = translate_port(snapshot(GATEWAY + private), 80)
    assert config["virtual_hosts"] == []
