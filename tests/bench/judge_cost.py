"""What the judge costs: per batch of 10 answers, for 10 million labels, and its import.

python tests/bench/judge_cost.py
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import time

from meshproof.verdict import Judge, Settings

BATCH = 10
ROUNDS = 200


def batch_times() -> list[float]:
    """Return seconds per batch of a check of thirds, over many judges that stay undecided."""
    draw, found = random.Random(1), []
    settings = Settings(tolerance=0.05)
    for _ in range(ROUNDS):
        judge = Judge({"v1": 33, "v2": 33, "v3": 34}, settings)
        for _ in range(20):
            labels = draw.choices(["v1", "v2", "v3"], k=BATCH)
            began = time.perf_counter()
            decided = judge.feed(labels)
            found.append(time.perf_counter() - began)
            if decided:
                break
    return found


def import_seconds(code: str) -> float:
    """Return the median seconds of a Python that only runs `code`."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def command_seconds(count: int) -> float:
    """Return processor seconds of `meshproof judge` for labels that never decide."""
    draw = random.Random(1)
    labels = "".join("v1\n" if draw.random() < 0.5005 else "v2\n" for _ in range(count))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = ["judge", "--expect", "v1=50,v2=50", "--tolerance", "0.001"]
    subprocess.run(
        [sys.executable, "-m", "meshproof", *command],
        input=labels.encode(),
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    """Print the table."""
    times = sorted(batch_times())
    mean, worst = statistics.mean(times), times[int(len(times) * 0.99)]
    bare, plugin = import_seconds("import pytest"), import_seconds("import meshproof.plugin")
    rows = [
        ("judge, batch of 10 at k = 3, mean", f"{mean * 1e6:.0f} us", "< 1000 us"),
        ("judge, batch of 10 at k = 3, 99 %", f"{worst * 1e6:.0f} us", ""),
        ("judge command, 10 million labels", f"{command_seconds(10**7):.1f} s", "<= 10 s"),
        ("import pytest", f"{bare * 1e3:.0f} ms", ""),
        ("import meshproof.plugin (with pytest)", f"{plugin * 1e3:.0f} ms", ""),
        ("ratio", f"{plugin / bare:.2f}", ""),
    ]
    for name, figure, aim in rows:
        sys.stdout.write(f"{name:<42}{figure:>10}   {aim}\n")


if __name__ == "__main__":
    main()
