"""Two runs at once, beside a mesh that was left up: none disturbs another."""

from __future__ import annotations

import json
import urllib.request

from tests.robust.real_runs import MESHPROOF, Place, end

CHECKS = ("test", "-k", "rotation or v3_only or split_half or mtls")


def test_two_runs_beside_a_kept_mesh(place: Place) -> None:
    assert place.run(*MESHPROOF, "mesh", "up").code == 0
    started = [
        place.start(*MESHPROOF, *CHECKS, "--report", f"report-{number}") for number in range(2)
    ]
    for ended in map(end, started):
        assert ended.code == 0, ended.said
        assert "Passed: 7 of 7 promises are kept." in ended.said
    status = place.run(*MESHPROOF, "mesh", "status", "-o", "json")
    (kept,) = json.loads(status.said)
    assert kept["whole"]
    with urllib.request.urlopen(f"{kept['url']}/productpage", timeout=10) as answer:
        assert answer.status == 200
    assert place.run(*MESHPROOF, "mesh", "down").code == 0
    place.assert_nothing_left()
