"""Hosts that are no plain services, and subsets by the caller: real Envoys serve them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RULES = Path(__file__).with_name("hosts.yaml")
pytestmark = pytest.mark.local
DESTINATION_RULE = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: NAMESPACE}
spec:
  host: cart.shop.svc.cluster.local
  subsets: [{name: SUBSET, labels: {version: SUBSET}}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - match: [{uri: {prefix: /two}}]
    route: [{destination: {host: cart, subset: v2}}]
  - route: [{destination: {host: cart, subset: v1}}]
"""


def test_every_case_of_unusual_hosts_passes(meshproof: Callable[..., Any]) -> None:
    ended = meshproof("test", "--rules", str(RULES))
    assert ended.code == 0, ended.output
    assert {
        "stock: authority stock.bank -> web",
        "legacy.example: any request -> web",
        "cart.shop: any request -> web",
        "pay: any request -> v1",
    } <= set(ended.results)
    assert not any("5432" in name for name in ended.results)


def test_a_subset_that_the_caller_does_not_see_is_red(
    meshproof: Callable[..., Any], tmp_path: Path
) -> None:
    rules = (("shop", "v1"), ("other", "v2"))
    text = RULE + "".join(
        DESTINATION_RULE.replace("NAMESPACE", namespace).replace("SUBSET", subset)
        for namespace, subset in rules
    )
    (tmp_path / "rules.yaml").write_text(text)
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 1, ended.output
    assert ended.list_failed() == [
        "cart: path /two -> v2",
        "cart: path /twox (and more) -> v2",
        # Callers of `other` have its rule alone, and that one has no v1.
        "cart: any other request from namespace other -> v1",
        "cart: host cart.shop from namespace other -> v1",
        "cart: host cart.shop:80 from namespace other -> v1",
    ]
    assert "default see no DestinationRule with the subset of cart" in " ".join(
        ended.output.split()
    )
