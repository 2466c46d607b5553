"""100 rules with their cases on real Envoys: `meshproof test --rules`, from start to end."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.run.record import Result, Run
from tests.bench.measuring import Row, empty_folder, environment

RULES = 100
#: So many rules have about 100 cases.
RULES_OF_100_CASES = 9
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: s{i}}}
spec:
  host: s{i}
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{i}}}
spec:
  hosts: [s{i}]
  http:
"""
#: What rules are like: the seed's cookie, a prefix, a header or a method, and some splits.
MATCHES = (
    "headers: {{cookie: {{regex: '^(.*?;\\s*)?user=u{i}(;.*)?$'}}}}",
    "uri: {{prefix: /api/{i}}}",
    "headers: {{x-user: {{exact: user{i}}}}}",
    "uri: {{exact: /orders}}, method: {{exact: POST}}",
)
ARMS = """
  - match: [{{{match}}}]
    route: [{{destination: {{host: s{i}, subset: v2}}}}]
  - route: [{{destination: {{host: s{i}, subset: v1}}}}]
---
"""
SPLIT = """
  - route:
    - {{destination: {{host: s{i}, subset: v1}}, weight: 90}}
    - {{destination: {{host: s{i}, subset: v2}}, weight: 10}}
---
"""


def rules(count: int) -> str:
    """Return so many rules; one of twenty is a split."""
    texts = []
    for i in range(count):
        match = MATCHES[i % len(MATCHES)].format(i=i)
        body = SPLIT.format(i=i) if i % 20 == 0 else ARMS.format(i=i, match=match)
        texts.append(SUBSETS.format(i=i) + body)
    return "".join(texts)


@dataclass(frozen=True)
class Measured:
    """A whole run of `meshproof test --rules`: its seconds, those of the judge's cases, its CPU."""

    run: Run
    took: float
    spent: float
    cpu: float

    @property
    def judged(self) -> list[Result]:
        """The results that the judge decided."""
        return [result for result in self.run.results if result.checks]


def measure(text: str) -> Measured:
    """Run the command on rules. Raises RuntimeError with its output if they are not green."""
    with empty_folder() as folder:
        (folder / "rules.yaml").write_text(text)
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "meshproof", "test", "--rules", "rules.yaml"]
        done = subprocess.run(
            command, cwd=folder, env=environment(), check=False, capture_output=True, text=True
        )
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        run = Run.from_json((folder / "meshproof-report" / "run.json").read_text())
    spent = sum(result.seconds for result in run.results if result.checks)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(run, took, spent, cpu)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    few = measure(SUBSETS.format(i=1) + ARMS.format(i=1, match="headers: {x-a: {exact: a}}"))
    yield Row(f"own rules of {len(few.run.results)} cases", f"{few.took:.1f} s", "1.5 s for 7")
    some = measure(rules(RULES_OF_100_CASES))
    words = "cases, without the judge's requests"
    seconds = some.took - some.spent
    yield Row(f"own rules of {len(some.run.results)} {words}", f"{seconds:.1f} s", "10 s for 100")
    many = measure(rules(RULES))
    yield Row(f"{RULES} rules, cases that follow from them", str(len(many.run.results)))
    yield Row(
        "verified on real Envoys, without the judge's requests",
        f"{many.took - many.spent:.1f} s",
        "10 s",
    )
    requests = sum(check.verdict.n for result in many.judged for check in result.checks)
    yield Row(
        f"the judge's {requests} requests for {len(many.judged)} splits", f"{many.spent:.1f} s"
    )
    yield Row("CPU of all that, Envoys among it", f"{many.cpu:.1f} s")
