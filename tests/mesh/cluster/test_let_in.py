"""The policies of docs/policies.md are for what a run has: its pods' label, its hosts."""

from __future__ import annotations

import fnmatch

import yaml

from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.sandbox.rule_rewriter import SandboxNames
from meshproof.traffic.failure_analysis import POLICY_REFUSAL
from tests import ROOT

DOCS = ROOT / "docs" / "policies.md"


def test_the_policies_that_let_a_run_in_are_for_what_it_has() -> None:
    _, advised, _ = DOCS.read_text(encoding="utf-8").split("```")
    pods, way_in = yaml.safe_load_all(advised.removeprefix("yaml\n"))
    assert {policy["spec"]["action"] for policy in (pods, way_in)} == {"ALLOW"}
    scope = RunScope("ab12")
    (label,) = pods["spec"]["selector"]["matchLabels"].items()
    assert label in scope.labels.items()
    assert ": ".join(label) in POLICY_REFUSAL
    (host,) = way_in["spec"]["rules"][0]["to"][0]["operation"]["hosts"]
    for run_host in (
        scope.host,
        SandboxNames.for_namespaces(scope, ["shop"]).rewrite_host("shop.example.com"),
    ):
        assert fnmatch.fnmatch(run_host, host), run_host
    assert host in POLICY_REFUSAL
