from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from meshproof import manifest, rules
from meshproof.cases import Plan, derive
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

#: What a case says, short enough for a table: id -> destinations with shares, or the status.
Said = dict[str, str]


def read(text: str) -> RuleSet:
    return rules.read(manifest.parse(text, "rules.yaml"))


def said(plan: Plan) -> Said:
    return {case.id: case.id.rpartition(" -> ")[2] for case in plan.cases}


@pytest.fixture
def plan() -> Callable[[str], Plan]:
    """Derive the cases of rules in YAML, with the subsets v1, v2 and v3 of reviews beside them."""
    return lambda text: derive(read(SUBSETS + text))


@pytest.fixture
def arms(plan: Callable[[str], Plan]) -> Callable[[str], Plan]:
    """Derive the cases of the arms of a VirtualService for reviews."""
    return lambda text: plan(SERVICE + textwrap.indent(textwrap.dedent(text), "  "))


@pytest.fixture
def match(arms: Callable[[str], Plan]) -> Callable[[str], list[str]]:
    """Return the ids of the cases of `match` to v3, everything else to v1, without the service."""

    def ids(conditions: str) -> list[str]:
        found = arms(f"- match: [{conditions}]\n{TO_V3}{TO_V1}")
        return [case.id.removeprefix("reviews: ") for case in found.cases]

    return ids
