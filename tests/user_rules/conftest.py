from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.process import processes
from meshproof.mesh.protocol import ClusterOptions
from meshproof.run.record import Outcome, Result, Run
from tests import ROOT
from tests.user_rules.live_objects import SHOP, Cluster


@dataclass
class Ended:
    """A run of the command: exit code, what it printed, what it recorded by promise."""

    code: int
    said: str
    results: dict[str, Result]

    def failed(self) -> list[str]:
        return [name for name, one in self.results.items() if one.outcome is Outcome.FAILED]

    def failed_as(self, expected: Mapping[str, str]) -> list[Result]:
        """Check that exactly the cases `expected` failed, each with its words; return them."""
        assert self.code == 1, self.said
        assert sorted(self.failed()) == sorted(expected), self.said
        found = [self.results[case] for case in expected]
        for result, said in zip(found, expected.values(), strict=True):
            assert result.failure is not None
            text = replace(result.failure, promise="", location="").text
            assert said in text, text
        return found


@pytest.fixture
def meshproof(tmp_path: Path) -> Callable[..., Ended]:
    """Run `meshproof` in an empty folder; nothing of the run may be left."""

    def run(*arguments: str) -> Ended:
        with subprocess.Popen(
            [sys.executable, "-m", "meshproof", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as started:
            said, _ = started.communicate(timeout=120)
        assert_nothing_left(started.pid)
        record = tmp_path / "meshproof-report" / "run.json"
        results = Run.from_json(record.read_text()).results if record.exists() else []
        return Ended(started.returncode, said, {one.promise: one for one in results})

    return run


def assert_nothing_left(pid: int) -> None:
    """A run's folder is called after its process; every process of it names the folder."""
    run_of = f"{processes.ensure_runs_folder()}/run-{pid}-"
    assert [
        str(one.path) for one in processes.list_runs() if str(one.path).startswith(run_of)
    ] == []
    left = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(processes.RUN_VARIABLE, "").startswith(run_of):
                left.append(one.cmdline())
        except psutil.Error:  # it has just ended, or it is not ours
            continue
    assert left == []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that every context leads to; `reached` has the options."""
    one = Cluster(*SHOP)

    @contextlib.contextmanager
    def connected(options: ClusterOptions, folder: Path) -> Iterator[Cluster]:
        one.__dict__["reached"] = options
        yield one

    monkeypatch.setattr(Kube, "connected", connected)
    return one
