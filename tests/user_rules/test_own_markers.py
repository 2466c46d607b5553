"""Rules that change our own marker headers: the run takes others, and judges all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robust.real_runs import MESHPROOF, CommandRunner

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
  - match: [{uri: {prefix: /r}}]
    headers:
      response: {remove: [x-served-by], set: {X-Seen-Path: hidden, x-seen-header-a: b}}
      request: {set: {x-a: b}}
    route: [{destination: {host: other}}]
  - route: [{destination: {host: cart}}]
"""


@pytest.mark.local
def test_a_marker_that_a_rule_changes_is_replaced(tmp_path: Path) -> None:
    runner = CommandRunner(tmp_path)
    (tmp_path / "cart.yaml").write_text(RULES)
    result = runner.run(*MESHPROOF, "test", "--rules", "cart.yaml")
    assert result.code == 0, result.output
    runner.assert_no_leftovers()
