"""What the judge costs: microseconds per batch of 10 answers at k = 3, and import times.

python tests/bench/judge_cost.py
"""

from __future__ import annotations

import random
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


def main() -> None:
    """Print the table."""
    times = sorted(batch_times())
    mean, worst = statistics.mean(times), times[int(len(times) * 0.99)]
    bare, plugin = import_seconds("import pytest"), import_seconds("import meshproof.plugin")
    rows = [
        ("judge, batch of 10 at k = 3, mean", f"{mean * 1e6:.0f} us", "< 1000 us"),
        ("judge, batch of 10 at k = 3, 99 %", f"{worst * 1e6:.0f} us", ""),
        ("import pytest", f"{bare * 1e3:.0f} ms", ""),
        ("import meshproof.plugin (with pytest)", f"{plugin * 1e3:.0f} ms", ""),
        ("ratio", f"{plugin / bare:.2f}", ""),
    ]
    for name, figure, aim in rows:
        sys.stdout.write(f"{name:<42}{figure:>10}   {aim}\n")


if __name__ == "__main__":
    main()
