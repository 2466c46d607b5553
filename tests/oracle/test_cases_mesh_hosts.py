"""Which hosts of the mesh are asked: services below a wildcard, hosts outside, ports of HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.base.errors import BadRules
from meshproof.oracle.derive import derive
from meshproof.rules.model import RuleSet

Read = Callable[[str], RuleSet]


def rule(name: str, host: str, to: str, match: str = "") -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ["{host}"]
  http:
  - route: [{{destination: {{host: {to}}}}}]
{match}"""


def list_answers(rules: RuleSet, *services: str) -> dict[str, str]:
    """Return the host of each plain case -> the service that answers it."""
    ports = {f"{name}.svc.cluster.local": (80,) for name in services}
    return {
        case.call.host.removesuffix(".svc.cluster.local"): case.shares[0][0].host.partition(".")[0]
        for case in derive(rules, ports).cases
        if ": host " not in case.id
    }


def test_a_wildcard_stands_for_every_service_below_it(read: Read) -> None:
    rules = read(rule("all", "*.shop.svc.cluster.local", "web"))
    assert list_answers(rules, "cart.shop", "pay.shop", "cart.bank") == {
        "cart.shop": "web",
        "pay.shop": "web",
        "web.shop": "web",
    }


def test_a_rule_for_the_service_and_a_narrower_wildcard_come_before_a_wildcard(read: Read) -> None:
    rules = read(
        rule("all", "*.cluster.local", "web")
        + rule("shop", "*.shop.svc.cluster.local", "api")
        + rule("cart", "cart", "log")
    )
    assert list_answers(rules, "cart.shop", "pay.shop", "a.bank") == {
        "a.bank": "web",
        "pay.shop": "api",
        "web.shop": "api",
        "api.shop": "api",
        "log.shop": "api",
        "cart.shop": "log",
    }


def test_a_service_named_by_a_rule_stays_with_it_though_it_has_no_route_for_the_caller(
    read: Read,
) -> None:
    beta = "    match: [{sourceLabels: {app: beta}}]\n"
    rules = read(rule("all", "*.shop.svc.cluster.local", "web") + rule("cart", "cart", "log", beta))
    answers = {
        case.shares[0][0].host.partition(".")[0]
        for case in derive(rules).cases
        if case.call.host.startswith("cart.") and not case.call.source
    }
    assert answers == {"cart"}


def test_a_wildcard_without_a_service_is_asked_by_a_name_below_it(read: Read) -> None:
    plan = derive(read(rule("all", "*.shop.example", "web")))
    hosts = {case.call.host_header.partition(":")[0] for case in plan.cases}
    assert hosts == {"meshproof-other.shop.example"}


def test_a_name_of_a_service_that_another_rule_has_is_not_asked_for_it(read: Read) -> None:
    plan = derive(read(rule("short", "cart.shop", "web") + rule("cart", "cart", "log")))
    answers = {
        case.call.host_header.partition(":")[0]: case.shares[0][0].host.partition(".")[0]
        for case in plan.cases
    }
    assert answers["cart.shop"] == "web"
    assert answers["cart.shop.svc.cluster.local"] == "log"


def test_a_service_without_a_port_of_http_is_not_asked(read: Read) -> None:
    host = "cart.shop.svc.cluster.local"
    with pytest.raises(BadRules, match=f"no port of {host} is one of HTTP"):
        derive(read(rule("cart", "cart", "web")), {host: ()})


@pytest.mark.parametrize("name", [":authority", "host", "Host"])
def test_the_host_among_headers_is_the_authority(read: Read, name: str) -> None:
    match = f"    match: [{{headers: {{'{name}': {{exact: cart}}}}}}]\n"
    plan = derive(read(rule("cart", "cart", "web", match)))
    asked = [case.call for case in plan.cases if case.route_index == 0]
    assert {(call.host_header, call.namespace) for call in asked} == {("cart", "shop")}
    assert all(call.headers == () for call in asked)
