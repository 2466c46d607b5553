"""Gateways and routes of Gateway API in as few words as a test needs."""

from __future__ import annotations

import textwrap

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.rules.model import Route, RouteTable, RuleSet

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  gatewayClassName: istio
  listeners: [LISTENERS]
---
"""
LISTENER = "{name: web, port: 80, protocol: HTTP}"
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: KIND
metadata: {name: NAME}
spec:
  parentRefs: [PARENTS]
  hostnames: [HOSTS]
  rules:
"""
TO_SHOP = "backendRefs: [{name: shop, port: 80}]"


def gateway(*listeners: str) -> str:
    """Return a Gateway `default/gate`, with one listener for all hosts where none is given."""
    return GATEWAY.replace("LISTENERS", ", ".join(listeners or (LISTENER,)))


def http_route(
    rule_text: str = f"- {TO_SHOP}",
    hosts: str = "",
    parents: str = "{name: gate}",
    name: str = "shop",
    kind: str = "HTTPRoute",
) -> str:
    """Return a route with these rules."""
    head = ROUTE.replace("PARENTS", parents).replace("HOSTS", hosts)
    head = head.replace("KIND", kind).replace("NAME", name)
    return head + textwrap.indent(textwrap.dedent(rule_text).strip("\n"), "  ") + "\n---\n"


def read(text: str) -> RuleSet:
    """Return the rules of a text."""
    return rules.read_rules(manifest.parse(text, "g.yaml"))


def only(rule_text: str, kind: str = "HTTPRoute") -> RouteTable:
    """Return what a route with these rules at a plain gateway becomes."""
    (table,) = read(gateway() + http_route(rule_text, kind=kind)).tables
    return table


def route(rule_text: str, kind: str = "HTTPRoute") -> Route:
    """Return the only route of these rules."""
    (parsed,) = only(rule_text, kind).routes
    return parsed


def refused(text: str) -> str:
    """Return what is said of a text that cannot be read."""
    with pytest.raises(BadRules) as error:
        read(text)
    return str(error.value)
