"""A rule with limits of its own is judged by those, and a looser one is seen as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.local
Run = Callable[..., Any]
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  annotations: {meshproof/tolerance: "%s"}
spec:
  hosts: [shop]
  http:
  - route: [{destination: {host: shop}, weight: 50}, {destination: {host: other}, weight: 50}]
"""
CASE = "shop: any request -> any version 50 %, other 50 %"
LOOSER = "tolerance 25 points, not 10 points (rule.yaml:6)"


@pytest.fixture
def judged(meshproof: Run, tmp_path: Path) -> Callable[..., Any]:
    """Run the rule with a tolerance of its own; the mesh splits 55/45."""

    def run(tolerance: str, *options: str) -> Any:
        (tmp_path / "rule.yaml").write_text(RULE % tolerance)
        faults = ["-p", "tests.user_rules.own_faults", "--own-fault", "55/45"]
        return meshproof("test", "--rules", "rule.yaml", "--mesh-beta=1e-6", *options, *faults)

    return run


def test_a_stricter_rule_fails(judged: Callable[..., Any]) -> None:
    ended = judged("0.05")
    assert ended.code == 1, ended.output
    message = ended.results[CASE].message
    assert "shop 50 %, other 50 % (within 5 points)" in message
    assert "tolerance 5 points (rule.yaml:6, stricter than the run's 10 points)" in message


def test_a_looser_rule_passes_and_is_named(judged: Callable[..., Any], tmp_path: Path) -> None:
    # With the usual alpha, 55 % is red in 2 of 100 runs; with this one, in 1 of a million.
    ended = judged("0.25", "--mesh-alpha=1e-12", "-v")
    assert ended.code == 0, ended.output
    said = " ".join(ended.output.split())
    assert f"; looser than the run: {LOOSER}" in said
    assert f"note looser than the run in 1 check: {LOOSER}" in said
    report = tmp_path / "meshproof-report"
    assert LOOSER in (report / "index.html").read_text()
    assert "looser than the run" in (report / "junit.xml").read_text()
    notes = json.loads((report / "run.json").read_text())["notes"]
    others = ("stood in for", "lint finds nothing")
    (note,) = (note for note in notes if not note.startswith(others))
    assert note == f"looser than the run in 1 check: {LOOSER}"
