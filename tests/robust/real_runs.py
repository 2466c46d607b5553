"""Runs of the real commands in a place of their own, and what they leave there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from meshproof.mesh.process.processes import MARK

MESHPROOF = (sys.executable, "-m", "meshproof")
SUITES = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "meshproof.suites")
DEADLINE = 120.0


@dataclass(frozen=True)
class Ended:
    """How a command ended; `said` is standard output and standard error."""

    code: int
    said: str


class Place:
    """A folder to run commands in; runs of other places do not see its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()

    def start(
        self, *command: str, ignored: Collection[int] = (), **env: str
    ) -> subprocess.Popen[str]:
        """Start a command; its output is read by `end`.

        It ignores the signals of `ignored` and no others, whatever these tests were started with.
        """

        def set_signals() -> None:
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.tmp), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=set_signals,
        )

    def run(self, *command: str, **env: str) -> Ended:
        """Run a command to its end."""
        return end(self.start(*command, ignored=(), **env))

    def runs(self) -> list[Path]:
        """Return the folders of the runs that are there."""
        return sorted(self.tmp.glob("meshproof-*/run-*"))

    def processes(self) -> list[psutil.Process]:
        """Return every live process of a run of this place."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK, "").startswith(str(self.tmp)):
                    found.append(process)
            except (psutil.Error, OSError):  # it has just ended, or it is another user's
                continue
        return found

    def assert_nothing_left(self) -> None:
        """No process (so no port either) and no file of a run."""
        assert [process.cmdline() for process in self.processes()] == []
        assert list(self.tmp.iterdir()) == []


def end(started: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a command that was started."""
    with started:
        try:
            said, _ = started.communicate(timeout=DEADLINE)
        finally:
            started.kill()
    return Ended(started.returncode, said)


def until(look: Callable[[], object], started: subprocess.Popen[str]) -> None:
    """Wait until `look` is true or the command has ended."""
    deadline = time.monotonic() + DEADLINE
    while not look() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
