"""Runs that are killed (SIGKILL) at moments from their start to their end, and what is left then.

The moments are drawn anew each time, one in each part of a run. By turns the next is `meshproof
cleanup` and another run. Nothing may be left after it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from collections.abc import Iterator

from tests.bench.measuring import Row
from tests.bench.on_cluster import LONGEST, Place, figure, lacking, objects, place, red

MOST = 10
NEXT = (("cleanup",), ("smoke",))


def killed(here: Place, after: float) -> bool:
    """Kill a run so many seconds after its start; say whether it was still going on."""
    with here.begun("smoke") as process:
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=LONGEST)
            return True
    return False


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if why := lacking():
        yield Row(f"killed: {why}", "")
        return
    runs = min(options.runs, MOST)
    leaving, late, unclean = 0, 0, 0
    with place() as here:
        whole = here.run("smoke").seconds
        for number in range(runs):
            after = whole * random.uniform(number, number + 1) / runs
            before = objects()
            was_going_on = killed(here, after)
            behind = len(here.changed(before))
            ended = here.run(*NEXT[number % len(NEXT)])
            left = here.left(before)
            late, leaving = late + (not was_going_on), leaving + bool(left)
            unclean += bool(behind)
            name = f"killed after {after:.1f} s, {behind} objects; then {NEXT[number % 2][0]}"
            yield figure(name, ended.seconds)
            if ended.code or left:
                yield red(name, ended, left)
    yield Row(f"after {runs} runs that were killed something was left", f"{leaving}", "0")
    yield Row("  of them had ended before", f"{late}", "0")
    yield Row("  of them left objects, until the next", f"{unclean}")
