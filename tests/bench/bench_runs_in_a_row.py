"""Many runs in a row: none may be red, and none may leave a process or a file."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from meshproof.mesh.process.processes import RUN_VARIABLE
from tests.bench.measuring import Row, empty_folder, environment, python


def left_by(temporary: Path) -> list[str]:
    """Return what a run left: files in its temporary folder, processes marked with it."""
    left = [str(path) for path in temporary.rglob("*")]
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE, "").startswith(f"{temporary}/"):
                left.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):  # it has just ended, or it is not ours
            continue
    return left


def run(temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("-m", "meshproof", "test"),
        env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def rows(options: argparse.Namespace) -> Iterator[Row]:
    codes: Counter[int] = Counter()
    leftovers = 0
    with empty_folder():
        for number in range(1, options.runs + 1):
            with tempfile.TemporaryDirectory() as temporary:
                done = run(Path(temporary))
                left = left_by(Path(temporary))
            codes[done.returncode] += 1
            leftovers += bool(left)
            if done.returncode or left:
                said = "\n".join([done.stdout, *left])
                yield Row(f"run {number} ended with {done.returncode}:\n{said}\n", "")
    yield Row(f"red among {options.runs} runs in a row", f"{options.runs - codes[0]}", "0")
    yield Row("  runs that left a process or a file", f"{leftovers}", "0")
