"""From a sidecar a destination without a port means the port that was called, as istiod has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.place import Place
from meshproof.mesh.echo.workloads import collect_ports
from meshproof.run.cause import Cause
from meshproof.user_rules import loading

Run = Callable[..., Any]
RULES = """\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: ratings.far.svc.cluster.local}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: far}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: stars}}]}]
"""
RATINGS = """\
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: far}
spec: {selector: {app: ratings}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: stars, namespace: far}
spec: {selector: {app: stars}, ports: [{name: http, port: 8080}]}
"""


def test_a_service_that_nobody_describes_has_the_ports_that_are_called(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    found = loading.load([str(path)])
    listed = {
        host.partition(".")[0]: said
        for host, said in collect_ports(found.rules, found.known_hosts).items()
    }
    assert listed == {"reviews": (9080,), "ratings": (80, 9080), "stars": (80, 9080)}


@pytest.mark.local
def test_it_is_proven_where_ports_may_be_the_same(meshproof: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 0, ended.output
    assert "reviews: any request -> ratings" in ended.results


@pytest.mark.local
def test_another_port_is_a_dead_end_of_its_own_cases_alone(meshproof: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES + RATINGS)
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 1, ended.output
    assert all(case.startswith("reviews: ") for case in ended.list_failed())
    causes = {result.failure.root_cause for result in ended.all_results if result.failure}
    assert causes == {
        Cause(
            "ratings has no port 9080",
            Place("rules.yaml", 11),
            "its Service has 8080; port 9080 is asked for, the one that was called",
            ("port: {number: 8080}",),
            "MP0510",
        )
    }
    host = "host: ratings.far.svc.cluster.local"
    text = (RULES + RATINGS).replace(host, f"{host}, port: {{number: 8080}}")
    (tmp_path / "rules.yaml").write_text(text)
    assert meshproof("test", "--rules", "rules.yaml").code == 0
