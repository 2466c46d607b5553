"""The whole gate run on the lab: every promise is kept, and nothing of it is left."""

from __future__ import annotations

import json
from pathlib import Path

from commands import kubectl, meshproof, snapshot


def test_the_gate_is_green_and_leaves_nothing(tmp_path: Path) -> None:
    before = snapshot()
    done = meshproof("test", "--mesh", "cluster", "--report", str(tmp_path))
    assert done.returncode == 0, done.stdout
    record = json.loads((tmp_path / "record.json").read_text())
    outcomes = {
        (result["promise"], result["dialect"]): result["outcome"] for result in record["results"]
    }
    for promise in ("v3 only", "cookie user=burr", "cookie among others", "split half"):
        assert outcomes[promise, "VirtualService"] == "passed"
        assert outcomes[promise, "RouteRule"] == "not supported"
    assert outcomes["productpage", ""] == outcomes["default rotation", ""] == "passed"
    assert any(note.startswith("way in: NodePort") for note in record["notes"])
    assert snapshot() == before
    assert kubectl("get", "ns", "-l", "app.kubernetes.io/managed-by=meshproof", "-o", "name") == ""
