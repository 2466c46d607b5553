"""`meshproof lint` of a large file beside `istioctl analyze`, and of a small one."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.bench_own_rules import rules
from tests.bench.measuring import Row, empty_folder, environment, in_turn, median, ratio

#: So many VirtualServices, and as many DestinationRules.
RULES = 1000
ROUNDS = 11
LINT = (sys.executable, "-m", "meshproof", "lint")
SMALL = "lint of one file with one rule and its subsets"


def istioctl() -> str | None:
    """Return the istioctl of PATH, else the one that the lab has built (its README), else None."""
    home = Path(os.environ.get("MESH_LAB_HOME") or Path.home() / ".cache" / "mesh-lab")
    return shutil.which("istioctl") or shutil.which("istioctl", path=home / "bin")


class Command:
    """A command that finds nothing in a file: seconds of each run, and of CPU in `cpu`."""

    def __init__(self, command: Sequence[str], said: str) -> None:
        self.command, self.said = command, said
        self.cpu: list[float] = []

    def __call__(self) -> float:
        """Return the seconds of a run. Raises RuntimeError unless it passes and says so."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            self.command, env=environment(), capture_output=True, text=True, check=False
        )
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        said = done.stdout + done.stderr
        if done.returncode or self.said not in said:
            raise RuntimeError(f"{' '.join(self.command)} ended with {done.returncode}:\n{said}")
        self.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return took


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder():
        Path("rules.yaml").write_text(rules(RULES))
        Path("one.yaml").write_text(rules(1))
        ours = Command([*LINT, "rules.yaml"], f"Nothing found in {2 * RULES} objects")
        small = Command([*LINT, "one.yaml"], "Nothing found in 2 objects")
        program = istioctl()
        if program is None:
            large, one = in_turn([ours, small], ROUNDS)
        else:
            analyze = [program, "analyze", "--use-kube=false", "rules.yaml"]
            theirs = Command(analyze, "No validation issues found")
            large, one, other = in_turn([ours, small, theirs], ROUNDS)
    name = f"lint of {RULES} VirtualServices + {RULES} DestinationRules"
    yield Row(name, median(large), "istioctl's time")
    if program is None:
        yield Row(
            "istioctl analyze --use-kube=false, same file", "not measured", "no istioctl here"
        )
    else:
        yield Row("istioctl analyze --use-kube=false, same file", median(other))
        yield Row("  lint over istioctl, pair by pair", f"{ratio(large, other):.2f}", "<= 1")
        cpu = ratio(ours.cpu[1:], theirs.cpu[1:])
        yield Row("  the same of their CPU", f"{cpu:.2f}", "<= 1")
    yield Row(SMALL, median(one), "<= 0.4 s")
