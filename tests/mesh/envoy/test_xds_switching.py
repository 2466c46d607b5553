"""Served means acknowledged: rules change under load without a lost or a late answer.

Clients with kept-alive connections ask all the while, through two sidecars and the ingress. While
rules change, an answer may be of those before or of those after; from the moment at which `applied`
is entered (and left) every request gets what the rules then in force say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from meshproof.rules.model import RuleSet
from tests.mesh.envoy.echoes import HOST, SUBSETS, Client, Echoes, Load, app, echo_mesh, ruleset

SWITCHES = 50
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entry}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {number: 80, name: http, protocol: HTTP}}]
---
"""
BOTH = frozenset(("v1", "v2"))


def all_to(version: str) -> RuleSet:
    return ruleset(
        f"{SUBSETS}  gateways: [mesh, entry]\n"
        f"  http: [{{route: [{{destination: {{host: reviews, subset: {version}}}}}]}}]\n"
    )


@pytest.fixture(scope="module")
def echoes() -> Iterator[Echoes]:
    apps = (app("client", "v1"), app("other", "v1"), app("reviews", "v1", "v2"))
    with echo_mesh(*apps, GATEWAY) as echoes:
        yield echoes


def clients(echoes: Echoes) -> list[Client]:
    """Return new clients of two sidecars and of the ingress."""
    ingress = Client(echoes.mesh.address("ingress"))
    return [echoes.client("client-v1-0"), echoes.client("other-v1-0"), ingress]


def test_fifty_switches_under_load(echoes: Echoes) -> None:
    rules = {version: all_to(version) for version in ("v1", "v2")}
    late: list[str] = []
    switches = 0
    with ExitStack() as stack:
        asking = [stack.enter_context(client) for client in clients(echoes)]
        probes = [stack.enter_context(client) for client in clients(echoes)]
        stack.enter_context(echoes.mesh.applied(rules["v1"]))
        load = stack.enter_context(Load(asking, frozenset(("v1",))))

        def served(version: str) -> None:
            load.allowed = frozenset((version,))
            late.extend(
                f"{answer} after {version}" for answer in first(probes) if answer != version
            )
            with ExitStack() as new:
                fresh = [new.enter_context(client) for client in clients(echoes)]
                late.extend(
                    f"{answer} after {version}" for answer in first(fresh) if answer != version
                )

        while switches < SWITCHES:
            load.allowed = BOTH
            with echoes.mesh.applied(rules["v2"]):
                served("v2")
                load.allowed = BOTH
            served("v1")
            switches += 2
    assert not load.wrong
    assert not late
    assert all(load.under[frozenset((version,))] > 25 for version in ("v1", "v2")), load.under


def first(asking: list[Client]) -> list[str]:
    return [client.ask(host=HOST).version for client in asking]
