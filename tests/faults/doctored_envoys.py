"""Faults in a proxy: one of the two productpages has a sidecar that keeps old routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.mesh.process.processes import write_atomically
from tests.faults.doctored_manifests import run_after_deploy, two_productpages
from tests.faults.planting import fault

STALE = "productpage-v1-1"


def keep_old_routes(patch: pytest.MonkeyPatch, lying: bool) -> None:
    """Keep the routes of the first deployment; if lying, under the version of the new ones."""
    first_routes: list[str] = []

    def stale(path: Path, text: str) -> None:
        if path.parent.name != STALE or path.name != "rds.outbound.json":
            write_atomically(path, text)
            return
        config = json.loads(text)
        if not first_routes and config["resources"][0]["virtual_hosts"]:
            first_routes.append(text)
        if first_routes and lying:
            version = {"version_info": config["version_info"]}
            write_atomically(path, json.dumps(json.loads(first_routes[0]) | version))
        elif not first_routes or text == first_routes[0]:
            write_atomically(path, text)

    patch.setattr("meshproof.mesh.envoy.envoy.write_atomically", stale)


@fault(
    "a sidecar that does not take new rules",
    "-k=productpage or rotation or v3_only or burr_goes",
    exit_code=69,
    not_ready=dict.fromkeys(
        ("v3 only", "cookie user=burr"),
        f"not served by every proxy .*{STALE} has not taken: rds.outbound",
    ),
)
def unacknowledged(patch: pytest.MonkeyPatch) -> None:
    two_productpages(patch)
    keep_old_routes(patch, lying=False)
    run_after_deploy(patch, lambda mesh: patch.setattr(timeouts, "CONFIG_SERVED", 1.5))


@fault(
    "a sidecar that says it took new rules but did not",
    "-k=productpage or rotation or v3_only or cookie or split_half",
    failed=dict.fromkeys(
        ("v3 only", "cookie user=burr", "cookie among others"),
        f"only some pods give wrong answers: {STALE}.*{STALE} \\d+ by no rule",
    ),
)
def lying(patch: pytest.MonkeyPatch) -> None:
    two_productpages(patch)
    keep_old_routes(patch, lying=True)
