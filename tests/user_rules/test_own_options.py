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


SPLITS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: shop}, weight: 50}, {destination: {host: other}, weight: 50}]
  - route: [{destination: {host: shop}, weight: 60}, {destination: {host: other}, weight: 40}]
"""


def test_the_seconds_of_all_splits_are_bounded_and_what_is_told_is_said(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "rule.yaml").write_text(SPLITS)
    # A tolerance of 0.1 points takes millions of requests, more than a second in any case.
    given = ("--tolerance", "0.001", "--max-seconds", "1")
    ended = meshproof("test", "--rules", "rule.yaml", *given)
    assert ended.code == 3, ended.output
    outcomes = [result for result in ended.all_results if "50 %" in result.promise]
    assert outcomes
    assert any("were not enough to rule out" in str(result.failure) for result in outcomes)
    notes = json.loads((tmp_path / "meshproof-report/run.json").read_text())["notes"]
    (note,) = [note for note in notes if "told to the end" in note]
    assert note.endswith(" splits not told to the end: --mesh-max-seconds 1 was spent")
