"""Requests from inside the local mesh, and who answered by the counters of the client's Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from meshproof import manifests, rules
from meshproof.base.errors import NotReady
from meshproof.documents.manifest import read
from meshproof.mesh.http import HttpRequest
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.protocol import Options
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.visits import Visits
from meshproof.verdict import Outcome, judge

APPS = Path(str(files("meshproof.manifests"))) / "apps"
HALF = {"v1": 50, "v2": 50}


@pytest.fixture(scope="module")
def shop() -> Iterator[LocalMesh]:
    with LocalMesh.opened(Options()) as mesh:
        mesh.deploy(read([APPS / "sock-shop.yaml", APPS / "sock-shop-gateway.yaml"]))
        yield mesh


def visits(mesh: LocalMesh) -> Visits:
    address, sender = mesh.find_inside_client("orders.sock-shop")
    attribution = Attribution(start_counters=mesh.start_counters)
    return Visits(address, [HttpRequest("/orders")], "run", attribution=attribution, sender=sender)


@pytest.mark.parametrize("by", ["orders", "counters:orders.sock-shop"])
def test_a_split_is_judged_from_inside(shop: LocalMesh, by: str) -> None:
    with shop.applied(rules.read_rules(manifests.rules("split_half", "v1"))):
        half = judge(visits(shop).label_by_app(by), HALF)
        assert half.holds, half
        wrong = judge(visits(shop).label_by_app(by), {"v1": 70, "v2": 30})
        assert wrong.outcome is Outcome.FAILED, wrong


def test_without_the_rule_it_is_no_split(shop: LocalMesh) -> None:
    verdict = judge(visits(shop).label_by_app("counters:orders.sock-shop"), HALF)
    assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "undeclared")


def test_what_is_not_there_is_named(shop: LocalMesh) -> None:
    with pytest.raises(NotReady, match=r"did you mean 'orders\.sock-shop'"):
        shop.find_inside_client("order.sock-shop")
    with pytest.raises(NotReady, match="no service reviews in the mesh"):
        shop.start_counters("reviews")
