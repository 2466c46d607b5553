"""100 rules with their cases on real Envoys: `meshproof test --rules`, from start to end."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from meshproof.run.record import Run
from tests.bench.measuring import Row, empty_folder, environment

RULES = 100
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


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder() as folder:
        (folder / "rules.yaml").write_text(rules(RULES))
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
    judged = [result for result in run.results if result.checks]
    spent = sum(result.seconds for result in judged)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    yield Row(f"{RULES} rules, cases that follow from them", str(len(run.results)))
    yield Row(
        "verified on real Envoys, without the judge's requests", f"{took - spent:.1f} s", "10 s"
    )
    requests = sum(check.verdict.n for result in judged for check in result.checks)
    yield Row(f"the judge's {requests} requests for {len(judged)} splits", f"{spent:.1f} s")
    yield Row("CPU of all that, Envoys among it", f"{cpu:.1f} s")
