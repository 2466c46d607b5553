"""The whole gate run on a cluster, twice: how long, of which a split's requests, what is left."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tests.bench.measuring import Row
from tests.bench.on_cluster import figure, lacking, objects, place, red

MOST = 2
SPLIT = "split half"


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if why := lacking():
        yield Row(f"gate: {why}", "")
        return
    with place() as here:
        for number in range(1, min(options.runs, MOST) + 1):
            before = objects()
            ended = here.run("test", "--mesh", "cluster")
            left = here.left(before)
            yield figure(
                f"gate run {number}, {len(left)} objects or files left", ended.seconds, "<= 120 s"
            )
            if ended.code or left:
                yield red(f"gate run {number}", ended, left)
                continue
            for result in here.record()["results"]:
                if result["promise"] == SPLIT and result["outcome"] == "passed":
                    judged = result["checks"][0]["verdict"]
                    sent = sum(judged["counts"].values())
                    name = f"  of which {SPLIT}: {sent} requests, judged"
                    yield figure(name, result["seconds"], "<= 2 s")
