"""What large and hostile rule files cost, each beside a smaller one."""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench_own_rules import rules
from tests.bench.measuring import Row, empty_folder, in_turn, median, python, ratio, timed

#: So many rules are linted, and ten times as many.
RULES = 10_000
ROUNDS = 3
HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match:
"""
ENTRY = "    - {uri: {prefix: /a%d}, headers: {x%d: {exact: y}}}\n"
ROUTE = "    route: [{destination: {host: shop}}]\n"
REGEX = "    - {headers: {cookie: {regex: '%s'}}}\n"


#: Findings, and routes without a proof, are no failure here.
TOLERANT = '"$@"; case $? in 0|3|79) ;; *) exit 1 ;; esac'


def run(*command: str) -> float:
    """Return the seconds of a command that may have findings."""
    return timed(["sh", "-c", TOLERANT, "sh", *python("-m", "meshproof", *command)])


def processor_seconds(*command: str) -> float:
    """Return the processor's seconds of a command: these hold on a busy machine, too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder():
        for part in range(10):
            Path(f"rules-{part}").mkdir()
            Path(f"rules-{part}/rules.yaml").write_text(rules(RULES // 2))
        for count in (100, 400):
            entries = "".join(ENTRY % (number, number) for number in range(count))
            Path(f"matches-{count}.yaml").write_text(HEAD + entries + ROUTE)
        Path("repeats.yaml").write_text(HEAD + REGEX % ("a{1,1000}" * 100) + ROUTE)
        Path("long.yaml").write_text(HEAD + REGEX % ("ab." * 170_000) + ROUTE)
        plan_100, plan_400, repeats, long = in_turn(
            [
                lambda: run("plan", "matches-100.yaml"),
                lambda: run("plan", "matches-400.yaml"),
                lambda: run("lint", "repeats.yaml"),
                lambda: run("lint", "long.yaml"),
            ],
            ROUNDS,
        )
        small = processor_seconds("lint", "rules-0")
        large = processor_seconds("lint", *(f"rules-{part}" for part in range(10)))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    yield Row("plan of 400 matches with headers", median(plan_400), "<= 2 s")
    yield Row("  over 100 matches", f"{ratio(plan_400, plan_100):.1f}")
    yield Row("lint of a regex a{1,1000} 100 times", median(repeats), "<= 2 s")
    yield Row("lint of a text of 500 kB", median(long), "<= 2 s")
    yield Row(f"lint of {10 * RULES} rules over {RULES}", f"{large / small:.1f}", "<= 11")
    yield Row("  its memory", f"{peak / 1024 / 1024:.2f} GiB", "<= 1 GiB")
