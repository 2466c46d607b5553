from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace

import pytest

from meshproof import rules
from meshproof.documents import manifest
from meshproof.oracle.derive import Plan, derive
from meshproof.rules.model import RuleSet

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
"""
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
"""
TO_V3 = "  route: [{destination: {host: reviews, subset: v3}}]\n"
TO_V1 = "- route: [{destination: {host: reviews, subset: v1}}]\n"


@pytest.fixture
def read() -> Callable[[str], RuleSet]:
    """Read rules in YAML."""
    return lambda text: rules.read_rules(manifest.parse(text, "rules.yaml"))


@pytest.fixture
def plan(read: Callable[[str], RuleSet]) -> Callable[[str], Plan]:
    """Derive the cases of rules in YAML, with the subsets v1, v2 and v3 of reviews beside them.

    Those by other names of a host are left out: test_cases_hosts.py has them.
    """

    def derive_without_hosts(text: str) -> Plan:
        plan = derive(read(SUBSETS + text))
        return replace(plan, cases=tuple(case for case in plan.cases if ": host " not in case.id))

    return derive_without_hosts


@pytest.fixture
def routes(plan: Callable[[str], Plan]) -> Callable[[str], Plan]:
    """Derive the cases of the routes of a VirtualService for reviews."""
    return lambda text: plan(SERVICE + textwrap.indent(textwrap.dedent(text), "  "))


@pytest.fixture
def match(routes: Callable[[str], Plan]) -> Callable[[str], list[str]]:
    """Return the ids of the cases of `match` to v3, everything else to v1, without the service."""

    def ids(conditions: str) -> list[str]:
        plan = routes(f"- match: [{conditions}]\n{TO_V3}{TO_V1}")
        return [case.id.removeprefix("reviews: ") for case in plan.cases]

    return ids


@pytest.fixture
def gateway(plan: Callable[[str], Plan]) -> Callable[..., list[str]]:
    """Return the ids of the cases of a VirtualService with these hosts, gateways and servers."""

    def ids(hosts: str, gateways: str, *servers: str, rules: str = "") -> list[str]:
        text = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop}}
spec:
  hosts: [{hosts}]
  gateways: [{gateways}]
  http:
  {TO_V1}
"""
        for number, server in enumerate(servers):
            host, _, port = server.partition(" ")
            text += f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate-{number}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{hosts: ['{host}'], port: {{number: {port or 80}, name: http, protocol: HTTP}}}}]
"""
        return [f"{case.call.host_header} | {case.id}" for case in plan(text + rules).cases]

    return ids
