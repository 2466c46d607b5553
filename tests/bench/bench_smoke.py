"""`meshproof smoke` on a cluster, ten times in a row: how long, how often red, what is left."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

from tests.bench.measuring import Row
from tests.bench.on_cluster import figure, lacking, objects, place, red

MOST = 10


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if why := lacking():
        yield Row(f"smoke: {why}", "")
        return
    runs = min(options.runs, MOST)
    seconds, broken, leaving = [], 0, 0
    with place() as here:
        for number in range(1, runs + 1):
            before = objects()
            ended = here.run("smoke")
            left = here.left(before)
            seconds.append(ended.seconds)
            broken, leaving = broken + bool(ended.code), leaving + bool(left)
            yield figure(f"smoke run {number}", ended.seconds)
            if ended.code or left:
                yield red(f"smoke run {number}", ended, left)
    yield figure(f"smoke run, median of {runs}", statistics.median(seconds), "<= 30 s")
    yield Row(f"  red among {runs} in a row", f"{broken}", "0")
    yield Row("  that left an object, a process or a file", f"{leaving}", "0")
