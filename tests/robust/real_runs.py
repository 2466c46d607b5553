"""Runs real commands in a folder of their own and checks for leftovers."""

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

from meshproof.mesh.process.processes import RUN_VARIABLE

MESHPROOF = (sys.executable, "-m", "meshproof")
SUITES = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "meshproof.suites")
DEADLINE = 120.0


@dataclass(frozen=True)
class CommandResult:
    """Exit code of a command, with its standard output and standard error in `output`."""

    code: int
    output: str


class CommandRunner:
    """Runs commands in a folder; runs started elsewhere do not see its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()

    def start(
        self, *command: str, ignored: Collection[int] = (), **env: str
    ) -> subprocess.Popen[str]:
        """Start a command; `wait_for_end` reads its output.

        It ignores only the signals of `ignored`, whatever these tests ignore.
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

    def run(self, *command: str, **env: str) -> CommandResult:
        """Run a command and wait for its end."""
        return wait_for_end(self.start(*command, ignored=(), **env))

    def find_run_folders(self) -> list[Path]:
        """Return the folders of all runs."""
        return sorted(self.tmp.glob("meshproof-*/run-*"))

    def processes(self) -> list[psutil.Process]:
        """Return every live process of the runs in this folder."""
        run_processes = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(RUN_VARIABLE, "").startswith(str(self.tmp)):
                    run_processes.append(process)
            except (psutil.Error, OSError):  # it has just ended, or belongs to another user
                continue
        return run_processes

    def assert_no_leftovers(self) -> None:
        """Assert that the runs have left no process (so no port either) and no file."""
        assert [process.cmdline() for process in self.processes()] == []
        assert list(self.tmp.iterdir()) == []


def wait_for_end(process: subprocess.Popen[str]) -> CommandResult:
    """Wait for the end of a command that was started; kill it after DEADLINE seconds."""
    with process:
        try:
            output, _ = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    return CommandResult(process.returncode, output)


def wait_until(is_reached: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until `is_reached` is true or the command has ended."""
    deadline = time.monotonic() + DEADLINE
    while not is_reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
