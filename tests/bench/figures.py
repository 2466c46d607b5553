"""Prints the figures, each beside what it is to reach: `tox -e bench`, or by hand

    python tests/bench/figures.py [NAME ...] [--runs 50]

A bench is a module `bench_NAME.py` of this folder whose `rows(options)` yields what it measured.
Nothing is judged here: a machine with other work on it is slower, so look at the ratios, or again.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benches that are named, or all; print a line for each figure as it comes."""
    benches = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benches))
    parser.add_argument("--runs", type=int, default=50, help="runs in a row (default 50)")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(benches)
    if unknown:
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(benches)}")
    # Ended from outside, a bench still takes its folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    say(f"Python {platform.python_version()}, {os.cpu_count()} cores, {load()} before")
    for name in options.names or benches:
        for row in importlib.import_module(f"tests.bench.bench_{name}").rows(options):
            say(f"{row.name:<58}{row.figure:>12}   {row.aim}")
    say(f"{load()} after")


if __name__ == "__main__":
    main()
