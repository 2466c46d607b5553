"""Which limit holds: the check's own, else its rule's, else the run's, else the profile's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproof.documents.value import At
from meshproof.plugin.settings import of_rules
from meshproof.rules.judge_options import Option, Options
from meshproof.verdict import PROFILES

GATE = PROFILES["gate"]


def options(line: int = 7, **values: float) -> Options:
    return tuple(Option(name, value, At("shop.yaml", line)) for name, value in values.items())


@pytest.mark.parametrize(
    ("rules", "name", "value", "by"),
    [
        ([], "tolerance", 0.1, "profile gate"),
        ([options(tolerance=0.2)], "tolerance", 0.2, "shop.yaml:7"),
        ([options(tolerance=0.2), options(9, tolerance=0.3)], "tolerance", 0.2, "shop.yaml:7"),
        ([options(tolerance=0.2), options(9, tolerance=0.05)], "tolerance", 0.05, "shop.yaml:9"),
        ([options(tolerance=0.2), ()], "tolerance", 0.1, "profile gate"),
        ([(), options(tolerance=0.05)], "tolerance", 0.05, "shop.yaml:7"),
        ([options(budget=50), options(9, budget=90)], "budget", 90, "shop.yaml:9"),
        ([options(budget=50), ()], "budget", None, None),
        ([options(unnamed_budget=3), ()], "unnamed_budget", None, None),
        ([options(unnamed_budget=0), ()], "unnamed_budget", 0, "shop.yaml:7"),
    ],
)
def test_the_strictest_of_several_rules_holds(
    rules: list[Options], name: str, value: float | None, by: str | None
) -> None:
    found = of_rules(GATE, rules)
    origin = found.origins.get(name)
    assert (getattr(found, name), origin.by if origin else None) == (value, by)


CONFTEST = """
import contextlib

import pytest

from meshproof.documents import manifest; from meshproof import manifests

class Mesh:
    name, standins, notes, served, supports = "none", [], [], None, ()

    def applied(self, rules):
        return contextlib.nullcontext()

    def diagnose(self, folder):
        return ""

@pytest.fixture(scope="session")
def mesh():
    return Mesh()

manifests.rules = lambda folder, dialect: manifest.read(["rule.yaml"])
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: orders
  annotations: {%s}
spec:
  hosts: [orders]
  http: [{route: [{destination: {host: orders}}]}]
"""
TEST = """
import random

import pytest

@pytest.mark.rules("split_half")
@pytest.mark.parametrize("own", [{}, {"tolerance": 0.25}], ids=["plain", "own"])
def test_half(routed, judge, own):
    draw = random.Random(5)
    labels = ("v1" if draw.random() < 0.55 else "v2" for _ in range(20_000))
    verdict = judge(labels, {"v1": 50, "v2": 50}, name=str(own), **own)
    assert verdict.holds, verdict
"""


@pytest.mark.parametrize(
    ("annotation", "arguments", "outcome", "limit"),
    [
        (
            'meshproof/tolerance: "0.05"',
            [],
            "failed",
            "tolerance 5 points (rule.yaml:6, stricter than the run's 10 points)",
        ),
        (
            'meshproof/tolerance: "0.05"',
            ["--mesh-tolerance", "0.3"],
            "failed",
            "tolerance 5 points (rule.yaml:6, stricter than the run's 30 points)",
        ),
        ("", ["--mesh-tolerance", "0.3"], "passed", "tolerance 30 points (--mesh-tolerance)"),
        ("", ["--mesh-tolerance", "0.05"], "failed", "tolerance 5 points (--mesh-tolerance)"),
        (
            'meshproof/tolerance: "0.2"',
            ["--mesh-profile", "nightly"],
            "passed",
            "tolerance 20 points (rule.yaml:6, looser than the run's 5 points)",
        ),
    ],
)
def test_a_promise_is_judged_with_the_limits_of_its_rules(
    pytester: pytest.Pytester, annotation: str, arguments: list[str], outcome: str, limit: str
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TEST)
    Path("rule.yaml").write_text(RULE % annotation)
    pytester.runpytest_subprocess("-q", "--mesh-report", "rep", *arguments)
    record = json.loads((pytester.path / "rep" / "run.json").read_text())
    results = {one["checks"][0]["name"]: one for one in record["results"]}
    assert results["{}"]["outcome"] == outcome, results["{}"]["message"]
    page = (pytester.path / "rep" / "index.html").read_text().replace("&#39;", "'")
    assert limit in page
    own = results["{'tolerance': 0.25}"]
    assert own["outcome"] == "passed", own["message"]
    stored = own["checks"][0]["verdict"]["settings"]
    assert (stored["tolerance"], stored["origins"]["tolerance"]["by"]) == (0.25, "the check itself")
    notes = "\n".join(record["notes"])
    looser = "tolerance 20 points, not 5 points (rule.yaml:6)"
    assert (looser in notes) == (looser in page) == ('"0.2"' in annotation)


def test_an_option_that_cannot_hold_keeps_the_mesh_from_being_judged(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TEST)
    Path("rule.yaml").write_text(RULE % 'meshproof/tolerence: "0.05"')
    done = pytester.runpytest_subprocess("-q", "--mesh-report", "rep")
    record = json.loads((pytester.path / "rep" / "run.json").read_text())
    assert {one["outcome"] for one in record["results"]} == {"mesh not ready"}
    assert {one["exit_code"] for one in record["results"]} == {65}
    done.stdout.fnmatch_lines(["*rule.yaml:6:17: meshproof/tolerence: *did you mean 'tolerance'*"])
