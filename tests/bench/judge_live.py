"""Judge against the fixed rules of peers, on the same answers of real Envoys.

    python -m tests.bench.judge_live [--runs 200] [--only 90/10]

For each scenario the local mesh answers one long sample; our judge and each peer's rule take their
runs from it one after the other. A healthy scenario counts false alarms, a faulty one misses.
Peers' rules are those of ../shared/design/peers.md, section 2: Gateway API (500 requests, +-5
points, up to 10 tries) and Istio (100 requests, +-10 points, tried again for 30 s: 30 tries here).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from meshproof import rules
from meshproof.documents import manifest
from meshproof.mesh.http import HttpRequest
from meshproof.mesh.protocol import Mesh, Options, open_mesh
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from meshproof.verdict import PROFILES, Outcome, Settings, judge, plan, share_alpha

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: split-{0}}}
spec:
  selector: {{matchLabels: {{app: split, version: {0}}}}}
  template:
    metadata: {{labels: {{app: split, version: {0}}}}}
    spec:
      containers:
      - name: echo
        image: meshproof/echo
        env: [{{name: SERVICE_VERSION, value: {0}}}]
        ports: [{{containerPort: 8080}}]
"""
WAY_IN = """
apiVersion: v1
kind: Service
metadata: {name: split}
spec:
  selector: {app: split}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: split}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: split}
spec:
  host: split
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: split}
spec:
  hosts: ["*"]
  gateways: [split]
  http:
  - route:
"""
VERSIONS = ("v1", "v2", "v3")


@dataclass(frozen=True)
class Scenario:
    """What is served, what is promised, and whether that is the same."""

    name: str
    served: Mapping[str, int]
    promised: Mapping[str, float] | tuple[str, ...]
    healthy: bool
    tolerance: float = 0.10


SCENARIOS = (
    Scenario("50/50, healthy", {"v1": 50, "v2": 50}, {"v1": 50, "v2": 50}, True),
    Scenario("50/50 that is 60/40", {"v1": 60, "v2": 40}, {"v1": 50, "v2": 50}, False),
    Scenario("50/50 that is 55/45", {"v1": 55, "v2": 45}, {"v1": 50, "v2": 50}, False, 0.05),
    Scenario("50/50 that is 100/0", {"v1": 100}, {"v1": 50, "v2": 50}, False),
    Scenario("90/10, healthy", {"v1": 90, "v2": 10}, {"v1": 90, "v2": 10}, True, 0.05),
    Scenario("90/10 that is 95/5", {"v1": 95, "v2": 5}, {"v1": 90, "v2": 10}, False, 0.05),
    Scenario("90/10 that is 85/15", {"v1": 85, "v2": 15}, {"v1": 90, "v2": 10}, False, 0.05),
    Scenario("rotation, healthy", {}, VERSIONS, True),
    Scenario(
        "thirds by weight, healthy",
        {"v1": 33, "v2": 33, "v3": 34},
        {"v1": 33, "v2": 33, "v3": 34},
        True,
    ),
    Scenario("v3 only, healthy", {"v3": 100}, {"v3": 100}, True),
    Scenario("v3 only that leaks 2 %", {"v3": 98, "v1": 2}, {"v3": 100}, False),
)


class Stream:
    """One long sample, drawn as it is needed and kept, so that every rule sees the same answers."""

    def __init__(self, visits: Visits) -> None:
        self._labels = (visit.headers.get("x-served-version") for visit in visits)
        self.kept: list[str | None] = []

    def from_start(self) -> Iterator[str | None]:
        """Yield the answers from the first, drawing more at the end."""
        for index in itertools.count():
            if index == len(self.kept):
                self.kept.extend(itertools.islice(self._labels, 10))
            yield self.kept[index]


@dataclass
class Score:
    """How a rule did: runs, those that ended red, requests used."""

    runs: int = 0
    red: int = 0
    open: int = 0
    used: list[int] = field(default_factory=list)


Rule = Callable[[Iterator[str | None], Scenario], tuple[bool | None, int]]


def ours(settings: Settings) -> Rule:
    """Return our judge as a rule: (green, requests), None for inconclusive."""

    def rule(labels: Iterator[str | None], scenario: Scenario) -> tuple[bool | None, int]:
        verdict = judge(labels, scenario.promised, replace(settings, tolerance=scenario.tolerance))
        inconclusive = verdict.outcome is Outcome.INCONCLUSIVE
        return None if inconclusive else verdict.holds, len(verdict.labels)

    return rule


def fixed(size: int, points: float, tries: int) -> Rule:
    """Return a peer's rule: so many answers, each share within so many points, so many tries."""

    def rule(labels: Iterator[str | None], scenario: Scenario) -> tuple[bool | None, int]:
        for attempt in range(1, tries + 1):
            counts = Counter(itertools.islice(labels, size))
            if _within(counts, scenario.promised, size, points):
                return True, attempt * size
        return False, tries * size

    return rule


def _within(
    counts: Counter[str | None],
    promised: Mapping[str, float] | Iterable[str],
    size: int,
    points: float,
) -> bool:
    if not isinstance(promised, Mapping):
        return all(counts[name] for name in promised)
    total = sum(promised.values())
    if any(counts[name] and name not in promised for name in counts):
        return False
    return all(
        abs(counts[name] / size - share / total) <= points for name, share in promised.items()
    )


PEERS: dict[str, Rule] = {
    "500 +-5, 10 tries": fixed(500, 0.05, 10),
    "100 +-10, 1 try": fixed(100, 0.10, 1),
    "100 +-10, 30 tries": fixed(100, 0.10, 30),
}


def score(rule: Rule, stream: Stream, scenario: Scenario, runs: int, limit: int | None) -> Score:
    """Return how a rule did in up to `runs` runs, within the first `limit` answers if given."""
    labels, found = stream.from_start(), Score()
    while found.runs < runs and (limit is None or sum(found.used) < limit):
        green, used = rule(labels, scenario)
        found.runs += 1
        found.red += green is False
        found.open += green is None
        found.used.append(used)
    return found


def serve(mesh: Mesh, scenario: Scenario) -> rules.RuleSet:
    """Return the rules that serve a scenario's split (the default rotation without weights)."""
    entries = "".join(
        f"    - destination: {{host: split, subset: {name}}}\n      weight: {weight}\n"
        for name, weight in scenario.served.items()
    )
    text = SUBSETS + (entries or "    - destination: {host: split}\n")
    return rules.read_rules(manifest.parse(text, "bench"))


def line(*cells: object) -> None:
    widths = (26, 20, 6, 12, 13, 12)
    sys.stdout.write(
        "".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True))
    )
    sys.stdout.write("\n")
    sys.stdout.flush()


def bench(mesh: Mesh, runs: int, only: str) -> None:
    """Print the table of the scenarios whose names begin with `only`."""
    alpha, independence = share_alpha(1e-4, len(SCENARIOS) * runs)
    settings = replace(PROFILES["gate"], alpha=alpha, alpha_independence=independence)
    line("scenario", "rule", "runs", "wrong", "inconclusive", "requests")
    for scenario in (each for each in SCENARIOS if each.name.startswith(only)):
        with mesh.applied(serve(mesh, scenario)):
            visits = Visits(
                mesh.address("ingress"), [HttpRequest("/")], "bench", Sampling(workers=4)
            )
            stream = Stream(visits)
            began = time.monotonic()
            mine = score(ours(settings), stream, scenario, runs, None)
            speed = len(stream.kept) / (time.monotonic() - began)
            report(scenario, "meshproof", mine)
            for name, rule in PEERS.items():
                report(scenario, name, score(rule, stream, scenario, runs, len(stream.kept)))
            planned = plan(scenario.promised, replace(settings, tolerance=scenario.tolerance))
            at_truth = f"; planned mean {planned.scenarios[0].mean:.0f}" if scenario.healthy else ""
            most = f"; most {max(mine.used)}, at most {planned.limit}"
            answers = f"{len(stream.kept)} answers, {speed:.0f} a second"
            sys.stdout.write(f"  ({answers}{at_truth}{most})\n")


def report(scenario: Scenario, rule: str, found: Score) -> None:
    wrong = found.red if scenario.healthy else found.runs - found.red - found.open
    kind = "alarms" if scenario.healthy else "misses"
    mean = sum(found.used) / max(1, found.runs)
    line(scenario.name, rule, found.runs, f"{wrong} {kind}", found.open, f"{mean:.0f}")


def main() -> None:
    """Stand up a mesh of three echo workloads and run every scenario."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="", help="scenarios whose names begin so")
    options = parser.parse_args()
    text = "---".join([WAY_IN, *(WORKLOAD.format(version) for version in VERSIONS)])
    with open_mesh("local", Options()) as mesh:
        mesh.deploy(manifest.parse(text, "bench"))
        bench(mesh, options.runs, options.only)


if __name__ == "__main__":
    main()
