"""A run whose sidecars come from `istioctl kube-inject`: seen on its pods, and nothing is left."""

from __future__ import annotations

from pathlib import Path

from meshproof.run.record import Outcome
from tests.lab.commands import list_leftovers, meshproof, snapshot


def test_the_gate_is_green_with_sidecars_by_hand(tmp_path: Path) -> None:
    before = snapshot()
    ended = meshproof(
        *("test", "--mesh", "cluster", "--mesh-injection", "istioctl"),
        *("-k", "v3_only or split or control_plane"),
        folder=tmp_path,
    )
    assert ended.code == 0, ended.output
    outcomes = ended.outcomes("")
    assert outcomes["control plane: injection"] == Outcome.PASSED
    assert set(outcomes.values()) == {Outcome.PASSED}
    assert ended.outcomes("VirtualService") == {"v3 only": "passed", "split half": "passed"}
    assert "sidecars: by istioctl kube-inject" in "\n".join(ended.run.notes)
    assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
