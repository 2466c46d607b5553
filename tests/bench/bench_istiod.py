"""A real istiod: until it serves, a change of rules, and a run of 100 rules; MESHPROOF_ISTIOD."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from meshproof import manifests, rules
from meshproof.mesh.istiod.mesh import IstiodMesh
from meshproof.mesh.protocol import Options
from meshproof.run.record import Run
from tests.bench import bench_own_rules
from tests.bench.measuring import Row, empty_folder, environment, median

ROUNDS, CHANGES = 3, 10


def rows(options: argparse.Namespace) -> Iterator[Row]:
    istiod = os.environ.get("MESHPROOF_ISTIOD")
    if not istiod:
        yield Row("istiod: not measured, MESHPROOF_ISTIOD names none", "-")
        return
    ready: list[float] = []
    changes: list[float] = []
    with empty_folder():
        for _ in range(ROUNDS):
            ready.append(measure_mesh(istiod, changes))
    yield Row("istiod: apps up and rules served, from nothing", median(ready), "<= 15 s")
    yield Row("istiod: a change of rules served", median(changes), "<= 1 s")
    yield Row("istiod: the slowest such change", f"{max(changes):.2f} s")
    yield from measure_rules(istiod)


def measure_mesh(istiod: str, changes: list[float]) -> float:
    """Return the seconds until the first rules are served; add those of changes."""
    rule_sets = [
        rules.read_rules(manifests.rules(name, "v1")) for name in ("v3_only", "split_half")
    ]
    began = time.perf_counter()
    with IstiodMesh.opened(Options(istiod=istiod)) as mesh:
        mesh.deploy(manifests.apps())
        with mesh.applied(rule_sets[0]):
            seconds = time.perf_counter() - began
        for number in range(CHANGES):
            before = time.perf_counter()
            with mesh.applied(rule_sets[number % 2]):
                changes.append(time.perf_counter() - before)
    return seconds


def measure_rules(istiod: str) -> Iterator[Row]:
    """Run the rules of `bench_own_rules`; the judge's requests are counted apart."""
    command = [sys.executable, "-m", "meshproof", "test", "--mesh", "istiod", "--istiod", istiod]
    with empty_folder() as folder:
        (folder / "rules.yaml").write_text(bench_own_rules.rules(bench_own_rules.RULES))
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--rules", "rules.yaml"],
            env=environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        run = Run.from_json((folder / "meshproof-report" / "run.json").read_text())
    judged = sum(result.seconds for result in run.results if result.checks)
    yield Row(
        f"istiod: {bench_own_rules.RULES} own rules, the whole run", f"{seconds:.1f} s", "<= 20 s"
    )
    yield Row("istiod: of that the judge's requests for splits", f"{judged:.1f} s")
