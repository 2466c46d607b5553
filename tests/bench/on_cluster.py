"""What the benches on a cluster measure with: runs as users type them, killed ones, what is left.

They run where KUBECONFIG leads to a cluster that nobody else changes meanwhile (`lab exec`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.bench_runs_in_a_row import left_by
from tests.bench.measuring import Row, environment, python
from tests.lab.commands import everything

#: Seconds that one run may take, and that one which was interrupted may take to clean up.
LONGEST, CLEANUP = 300, 150


def lacking() -> str:
    """Return why nothing can be measured here; empty where it can."""
    if not os.environ.get("KUBECONFIG") or shutil.which("kubectl") is None:
        return "no KUBECONFIG, or no kubectl: not measured"
    return ""


def objects() -> set[str]:
    """Return every object of every kind of the cluster."""
    return everything()


@dataclass
class Place:
    """Where runs take place: a folder of its own for all that they write."""

    folder: Path

    @property
    def temporary(self) -> Path:
        """Their temporary files."""
        return self.folder / "tmp"

    def changed(self, before: set[str]) -> list[str]:
        """Return the objects of the cluster that are new, gone or changed since `objects`."""
        return sorted(objects() ^ before)

    def left(self, before: set[str]) -> list[str]:
        """Return what is left: changed objects of the cluster, files, processes."""
        return [*self.changed(before), *left_by(self.temporary)]

    def begun(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of ours."""
        return subprocess.Popen(
            python("-m", "meshproof", *words),
            cwd=self.folder,
            env=environment(TMPDIR=str(self.temporary)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> Ended:
        """Run a command of ours until it ends."""
        began = time.perf_counter()
        with self.begun(*words) as process:
            said = waited(process)
        return Ended(process.returncode, said, time.perf_counter() - began)

    def record(self) -> dict[str, Any]:
        """Return the record of the last run."""
        text = (self.folder / "meshproof-report" / "run.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, what it said, its seconds."""

    code: int
    said: str
    seconds: float


def waited(process: subprocess.Popen[str], seconds: float = LONGEST) -> str:
    """Return what a process has said once it has ended; one that we leave cleans up before."""
    try:
        return process.communicate(timeout=seconds)[0]
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=CLEANUP)
        raise


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Have a place for runs; what they leave in the cluster goes with it."""
    with tempfile.TemporaryDirectory(prefix="meshproof-bench-") as folder:
        found = Place(Path(folder))
        found.temporary.mkdir()
        try:
            yield found
        finally:
            found.run("cleanup")


def figure(name: str, seconds: float, aim: str = "") -> Row:
    """Return the row of a time, with the load that the machine had then."""
    return Row(name, f"{seconds:.1f} s", f"{aim}  (load {os.getloadavg()[0]:.1f})".strip())


def red(name: str, ended: Ended, left: list[str]) -> Row:
    """Return the row of a run that was red or left something: all that it said."""
    said = "\n".join([ended.said, *(f"left: {one}" for one in left)])
    return Row(f"{name} ended with {ended.code}:\n{said}\n", "")
