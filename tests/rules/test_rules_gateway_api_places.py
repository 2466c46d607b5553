"""Where a route of Gateway API holds: at which listeners, for which hosts, for which Services."""

from __future__ import annotations

import pytest

from meshproof.rules.model import RouteTable
from tests.manifest_text import write_head
from tests.rules.gateway_api_texts import TO_SHOP, gateway, http_route, read, refused

GATE = "default/gate"
SERVICE = "{group: '', kind: Service, name: shop"


def listener(name: str, host: str = "", port: int = 80, fields: str = "") -> str:
    hostname = f"hostname: '{host}', " if host else ""
    return f"{{name: {name}, {hostname}port: {port}, protocol: HTTP{fields}}}"


def placed(text: str) -> dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]]:
    """Return (hosts, listeners) -> names of the routes, of every route."""
    return {
        (table.hosts, gates(table)): [route.name for route in table.routes]
        for table in read(text).tables
    }


def gates(table: RouteTable) -> tuple[str, ...]:
    return tuple(name.removeprefix(f"{GATE}/") for name in table.gateways or ())


#: Hosts of a listener, hosts of the route -> hosts that are left.
COMMON = {
    ("", ""): "*",
    ("", "a.example"): "a.example",
    ("a.example", ""): "a.example",
    ("*.example", "a.example, x.b.example"): "a.example x.b.example",
    ("a.example", "'*.example'"): "a.example",
    ("*.a.example", "'*.example', '*.x.a.example'"): "*.a.example *.x.a.example",
}


@pytest.mark.parametrize("hosts", COMMON)
def test_the_narrower_of_both_hosts_is_left(hosts: tuple[str, str]) -> None:
    text = gateway(listener("web", hosts[0])) + http_route(hosts=hosts[1])
    (table,) = read(text).tables
    assert table.hosts == tuple(COMMON[hosts].split())


@pytest.mark.parametrize("host", ["example", "a.examples", "aexample"])
def test_a_wildcard_takes_whole_labels(host: str) -> None:
    message = refused(gateway(listener("web", "*.example")) + http_route(hosts=host))
    assert message.endswith(f"no listener that this route attaches to serves {host}")


LISTENERS = (listener("one"), listener("two", port=81), listener("three", "*.example", 82))
ATTACHED = {
    "{name: gate}": {(("*",), ("one", "two")): [""], (("*.example",), ("three",)): [""]},
    "{name: gate, sectionName: two}": {(("*",), ("two",)): [""]},
    "{name: gate, port: 82}": {(("*.example",), ("three",)): [""]},
    "{name: gate, namespace: default, port: 80}, {name: gate, sectionName: one}": {
        (("*",), ("one",)): [""]
    },
}


@pytest.mark.parametrize("parents", ATTACHED)
def test_by_name_section_and_port(parents: str) -> None:
    assert placed(gateway(*LISTENERS) + http_route(parents=parents)) == ATTACHED[parents]


def test_a_route_of_another_namespace_attaches_where_all_are_allowed() -> None:
    allowed_routes = ", allowedRoutes: {namespaces: {from: All}, kinds: [{kind: HTTPRoute}]}"
    text = gateway(listener("own"), listener("open", port=81, fields=allowed_routes)) + http_route(
        parents="{name: gate, namespace: default}"
    ).replace("{name: shop}", "{name: shop, namespace: other}")
    rules = read(text)
    assert placed(text) == {(("*",), ("open",)): [""]}
    assert rules.tables[0].routes[0].split[0].host == "shop.other.svc.cluster.local"


NAME = "kubernetes.io/metadata.name"
SELECTORS = {
    f"{{matchLabels: {{{NAME}: other}}}}": True,
    f"{{matchLabels: {{{NAME}: default}}}}": False,
    f"{{matchExpressions: [{{key: {NAME}, operator: In, values: [third, other]}}]}}": True,
    f"{{matchLabels: {{{NAME}: third}}, matchExpressions: [{{key: {NAME}, operator: In, values: "
    "[third, other]}]}": False,
}


@pytest.mark.parametrize("selector", SELECTORS)
def test_namespaces_by_their_names(selector: str) -> None:
    allowed_routes = f", allowedRoutes: {{namespaces: {{from: Selector, selector: {selector}}}}}"
    text = gateway(listener("web", fields=allowed_routes)) + http_route(
        parents="{name: gate, namespace: default}"
    ).replace("{name: shop}", "{name: shop, namespace: other}")
    if SELECTORS[selector]:
        assert placed(text) == {(("*",), ("web",)): [""]}
    else:
        assert "takes a HTTPRoute of namespace other; see allowedRoutes" in refused(text)


def test_routes_of_one_host_are_one_and_others_stay_apart() -> None:
    rule = f"- name: NAME\n  matches: [{{path: {{value: /NAME}}}}]\n  {TO_SHOP}"
    text = (
        gateway()
        + http_route(rule.replace("NAME", "a"), "x.example, y.example", name="a")
        + http_route(rule.replace("NAME", "long"), "y.example", name="b")
    )
    assert placed(text) == {
        (("x.example",), ("web",)): ["a"],
        (("y.example",), ("web",)): ["long", "a"],
    }
    assert [table.name for table in read(text).tables] == ["a", "a + b"]


def test_a_narrower_listener_takes_its_hosts_from_the_routes_of_a_wider_one() -> None:
    """As istiod has it: it takes no requests, so a route for all hosts answers those of them."""
    listeners = (listener("wide", "*.example"), listener("narrow", "*.a.example"))
    wide = http_route(hosts="", parents="{name: gate, sectionName: wide}")
    assert placed(gateway(*listeners) + wide) == {(("*.example",), ("wide",)): [""]}
    of_narrow_host = wide.replace("[]", "[x.a.example]", 1)
    message = refused(gateway(*listeners) + of_narrow_host)
    assert message.endswith("no listener that this route attaches to serves x.a.example")


def test_a_route_at_both_listeners_is_at_the_narrower_one_for_its_hosts() -> None:
    listeners = (listener("wide", "*.example"), listener("narrow", "*.a.example"))
    route = http_route(hosts="", parents="{name: gate}")
    assert placed(gateway(*listeners) + route) == {
        (("*.example",), ("wide",)): [""],
        (("*.a.example",), ("narrow",)): [""],
    }
    of_narrow_host = route.replace("[]", "[x.a.example]", 1)
    assert placed(gateway(*listeners) + of_narrow_host) == {(("x.a.example",), ("narrow",)): [""]}
    other_port = (listeners[0], listener("narrow", "*.a.example", 81))
    wide = http_route(hosts="", parents="{name: gate, sectionName: wide}")
    assert placed(gateway(*other_port) + wide) == {(("*.example",), ("wide",)): [""]}


def test_a_route_of_a_service_holds_in_the_mesh() -> None:
    (table,) = read(http_route(hosts="ignored.example", parents=f"{SERVICE}}}")).tables
    assert (table.hosts, table.gateways) == (("shop.default.svc.cluster.local",), ("mesh",))
    assert table.ports == ()
    assert table.applies_to_port(80)


def test_routes_of_ports_of_a_service() -> None:
    text = http_route(
        parents=f"{SERVICE}, port: 80}}, {SERVICE}, port: 81}}", name="a"
    ) + http_route(parents=f"{SERVICE}, port: 81}}", name="b")
    tables = read(text).tables
    assert [(table.ports, table.name) for table in tables] == [((80,), "a"), ((81,), "a + b")]
    assert not tables[0].applies_to_port(81)


GRANT = """\
apiVersion: gateway.networking.k8s.io/KIND
kind: ReferenceGrant
metadata: {name: a, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: FROM, namespace: default}]
  to: [{group: '', kind: TO}]
---
"""
ACROSS = http_route("- backendRefs: [{name: shop, namespace: other, port: 80}]")


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("to", ["Service", "Service, name: shop"])
def test_a_grant_lets_a_route_send_across_namespaces(to: str, version: str) -> None:
    grant = GRANT.replace("FROM", "HTTPRoute").replace("TO", to).replace("KIND", version)
    (table,) = read(gateway() + ACROSS + grant).tables
    assert table.routes[0].split[0].host == "shop.other.svc.cluster.local"


@pytest.mark.parametrize(
    ("kind", "to", "where"),
    [
        ("GRPCRoute", "Service", "other"),
        ("HTTPRoute", "Service, name: shops", "other"),
        ("HTTPRoute", "Secret", "other"),
        ("HTTPRoute", "Service", "third"),
    ],
)
def test_a_grant_for_something_else_does_not(kind: str, to: str, where: str) -> None:
    grant = GRANT.replace("FROM", kind).replace("TO", to).replace("KIND", "v1")
    message = refused(gateway() + ACROSS + grant.replace("namespace: other", f"namespace: {where}"))
    assert (
        "no ReferenceGrant of namespace other lets a HTTPRoute of default send to shop" in message
    )


def test_in_the_mesh_nobody_asks_for_a_grant() -> None:
    (table,) = read(ACROSS.replace("{name: gate}", f"{SERVICE}}}")).tables
    assert table.routes[0].split[0].host == "shop.other.svc.cluster.local"


def test_objects_of_one_name_in_two_groups_are_two() -> None:
    istio = (
        write_head("Gateway", "gate")
        + "spec: {selector: {istio: ingressgateway}, servers: [{hosts: ['*'], "
        "port: {number: 81, name: http, protocol: HTTP}}]}\n---\n"
    )
    assert len(read(istio + gateway() + http_route()).gateways) == 2
    message = refused(gateway() + gateway())
    assert "two objects of kind Gateway are named 'gate'" in message
