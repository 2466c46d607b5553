"""Options that RouteRules set for the judge: they never come to hold for other rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meshproof.convert import proof

RULES = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: half, annotations: {team: a%s}}
spec:
  destination: {name: shop}
  route: [{labels: {version: v1}, weight: 50}, {labels: {version: v2}, weight: 50}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: burr, annotations: {team: a%s}}
spec:
  destination: {name: shop}
  precedence: 2
  match: {request: {headers: {x-user: {exact: burr}}}}
  route: [{labels: {version: v2}}]
"""
LOOSE = ', meshproof/tolerance: "0.2"'


def different(found: Any, text: str) -> tuple[str, ...]:
    return proof.compare(found.source, text, "new.yaml", found.conversion.notes).different


def test_those_that_all_rules_set_alike_are_kept(converted: Any) -> None:
    found = converted(RULES % (LOOSE, LOOSE))
    head = found.objects["VirtualService", "shop"]["metadata"]
    assert head["annotations"] == {"team": "a", "meshproof/tolerance": "0.2"}
    assert "meshproof/" not in str(found.objects["DestinationRule", "shop"])
    assert different(found, found.text) == ()


@pytest.mark.parametrize("second", ["", ', meshproof/tolerance: "0.05"'])
def test_others_are_named_as_lost(converted: Any, second: str) -> None:
    found = converted(RULES % (LOOSE, second))
    assert found.objects["VirtualService", "shop"]["metadata"]["annotations"] == {"team": "a"}
    said = [line for line in found.said if "meshproof/tolerance" in line]
    assert len(said) == 1 + bool(second)
    assert all("is not converted: not every rule that becomes the same object" in it for it in said)


def test_one_that_came_to_hold_for_others_is_a_difference(converted: Any) -> None:
    """A planted fault: the converted rule has an option that none of its two rules sets."""
    found = converted(RULES % ("", ""))
    assert different(found, found.text) == ()
    before, kind, after = found.text.partition("kind: VirtualService")
    noted = after.replace("team: a\n", 'team: a\n    meshproof/tolerance: "0.2"\n', 1)
    assert noted != after
    said = "; ".join(different(found, before + kind + noted))
    assert re.search("options none; the converted route at .* has tolerance 0.2", said)
