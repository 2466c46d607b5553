"""Two runs at once, beside a mesh from `mesh up`: none disturbs another."""

from __future__ import annotations

import json
import urllib.request

from tests.robust.real_runs import MESHPROOF, CommandRunner, wait_for_end

CHECKS = ("test", "-k", "rotation or v3_only or split_half or mtls")


def test_two_runs_beside_a_kept_mesh(runner: CommandRunner) -> None:
    assert runner.run(*MESHPROOF, "mesh", "up").code == 0
    processes = [
        runner.start(*MESHPROOF, *CHECKS, "--report", f"report-{number}") for number in range(2)
    ]
    for result in map(wait_for_end, processes):
        assert result.code == 0, result.output
        assert "Passed: 7 of 7 promises are kept." in result.output
    status = runner.run(*MESHPROOF, "mesh", "status", "-o", "json")
    (live_mesh,) = json.loads(status.output)
    assert live_mesh["whole"]
    with urllib.request.urlopen(f"{live_mesh['url']}/productpage", timeout=10) as response:
        assert response.status == 200
    assert runner.run(*MESHPROOF, "mesh", "down").code == 0
    runner.assert_no_leftovers()
