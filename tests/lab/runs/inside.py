"""Mesh-internal rules, driven from a probe with a sidecar; a run of tests/lab/test_probes.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof import manifest, rules
from meshproof.fixtures.call import Caller
from meshproof.fixtures.judge import Judge
from meshproof.mesh.protocol import Mesh


@pytest.mark.rules("split_half")
@pytest.mark.usefixtures("routed")
def test_half_from_inside(call: Caller, judge: Judge) -> None:
    verdict = judge(call("orders.sock-shop", "/orders"), by="orders", expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict


def test_sixty_to_forty_in_place_of_half(mesh: Mesh, call: Caller, judge: Judge) -> None:
    wrong = rules.read(manifest.read([Path(__file__).with_name("sixty_forty.yaml")]))
    with mesh.applied(wrong):
        sample = call("orders.sock-shop", "/orders")
        verdict = judge(sample, by="orders", expect={"v1": 50, "v2": 50})
        assert verdict.holds, verdict
