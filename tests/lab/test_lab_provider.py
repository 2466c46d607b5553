"""A run with `--provider kind`, where a stand-in for kind hands out the lab's own cluster."""

from __future__ import annotations

import os
from pathlib import Path

from tests import TESTS
from tests.lab.commands import list_leftovers, meshproof, snapshot

FAKE = TESTS / "mesh" / "cluster" / "fake_provider.sh"


def test_a_run_on_a_cluster_that_kind_makes(tmp_path: Path) -> None:
    before = snapshot()
    programs, clusters = tmp_path / "bin", tmp_path / "clusters"
    for folder in (programs, clusters):
        folder.mkdir()
    (programs / "kind").write_text(FAKE.read_text())
    (programs / "kind").chmod(0o755)
    ended = meshproof(
        *("test", "--mesh", "cluster", "--provider", "kind", "-k", "rotation"),
        folder=tmp_path,
        PATH=f"{programs}:{os.environ['PATH']}",
        FAKE_KUBECONFIG=os.environ["KUBECONFIG"],
        FAKE_CLUSTERS=str(clusters),
        FAKE_LOG=str(tmp_path / "log"),
        XDG_STATE_HOME=str(tmp_path / "state"),
        KUBECONFIG=str(tmp_path / "none"),
    )
    assert ended.code == 0, ended.output
    assert ended.outcomes("") == {"default rotation": "passed"}
    assert "cluster: kind, for this run alone" in ended.run.notes
    assert list(clusters.iterdir()) == []
    calls = [line.split()[:3] for line in (tmp_path / "log").read_text().splitlines()]
    assert calls == [["kind", "create", "cluster"], ["kind", "delete", "cluster"]]
    assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
