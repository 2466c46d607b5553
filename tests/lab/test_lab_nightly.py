"""The nightly run on the lab: green, red for a fault in live rules, and it touches nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshproof.run.record import Outcome
from meshproof.user_rules import live
from tests.lab.commands import kubectl, list_leftovers, meshproof, snapshot
from tests.lab.nightly import USERS, stored, users


def test_a_nightly_run_is_green_and_touches_nobody(tmp_path: Path) -> None:
    with users():
        before, objects = snapshot(), stored(USERS, "istio-system")
        ended = meshproof("smoke", "--rules-from", USERS, folder=tmp_path)
        assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
        assert stored(USERS, "istio-system") == objects
    assert ended.code == 0, ended.output
    sys.stdout.write(f"smoke with live rules: {ended.run.seconds:.0f} s\n")
    outcomes = ended.outcomes("") | ended.outcomes("VirtualService")
    assert set(outcomes.values()) == {"passed"}
    for name in ("productpage", "smoke: cookie user=burr", "smoke: split half"):
        assert name in outcomes
    assert "control plane: in sync" in outcomes
    assert "cart: x-beta yes -> v2" in outcomes
    assert any(standin.startswith("in a sandbox echo workloads") for standin in ended.run.standins)


#: A Gateway with a certificate, and a rule that holds in sidecars and at that Gateway.
BEYOND = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: in, namespace: {USERS}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [web.example.com]
    tls: {{mode: SIMPLE, credentialName: cert}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: {USERS}}}
spec:
  hosts: [web]
  gateways: [mesh, in]
  http:
  - match: [{{gateways: [in]}}]
    route: [{{destination: {{host: cart, subset: v2}}}}]
  - route: [{{destination: {{host: cart, subset: v1}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {USERS}}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""


def test_what_is_beyond_it_is_named_and_the_rest_is_checked(tmp_path: Path) -> None:
    with users():
        kubectl("apply", "-f", "-", text=BEYOND)
        objects = stored(USERS)
        ended = meshproof("smoke", "--rules-from", USERS, folder=tmp_path)
        assert stored(USERS) == objects
    assert ended.code == 0, ended.output
    outcomes = ended.outcomes("") | ended.outcomes("VirtualService")
    assert set(outcomes.values()) == {"passed"}
    assert any(name.startswith("cart: ") for name in outcomes)
    assert "web: any request -> cart v1" in outcomes
    beyond = {
        result.promise for result in ended.run.results if result.outcome is Outcome.NOT_SUPPORTED
    }
    expected = {f"Gateway {USERS}/in", f"VirtualService {USERS}/web at Gateway {USERS}/in"}
    assert expected <= beyond


def test_without_live_rules(tmp_path: Path) -> None:
    ended = meshproof("smoke", folder=tmp_path)
    assert ended.code == 0, ended.output
    sys.stdout.write(f"smoke without live rules: {ended.run.seconds:.0f} s\n")
    assert ended.run.standins == []
    assert list_leftovers(ended) == []


def test_a_fault_in_live_rules_is_seen_by_exactly_its_case(tmp_path: Path) -> None:
    with users(second="v9"):
        objects = stored(USERS)
        ended = meshproof("smoke", "--rules-from", USERS, folder=tmp_path)
        assert stored(USERS) == objects
    assert ended.code == 1, ended.output
    outcomes = ended.outcomes("") | ended.outcomes("VirtualService")
    red = {name: outcome for name, outcome in outcomes.items() if outcome != "passed"}
    assert red == {"cart: x-beta yes -> v9": "failed"}
    message = ended.message("cart: x-beta yes -> v9")
    assert "no healthy upstream" in message
    assert "DestinationRule cart: subset v2 (version=v9) selects no pod" in message
    assert f"/{USERS} VirtualService/cart:" in message


def test_live_rules_are_linted_planned_and_tested_by_their_name(tmp_path: Path) -> None:
    def run_command(code: int, *arguments: str) -> str:
        command = [sys.executable, "-m", "meshproof", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    source = f"{live.PREFIX}{USERS}"
    with users(second="v9"):
        objects = stored(USERS)
        output = run_command(79, "lint", source)
        assert "MP0504" in output
        assert f"/{USERS} DestinationRule/cart:" in output
        assert f"/{USERS} VirtualService/cart:" in run_command(0, "plan", source)
        assert "no healthy upstream" in run_command(1, "test", "--rules", source)
        assert stored(USERS) == objects


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (f"{live.PREFIX}{USERS}x", 64, f"has no namespace {USERS}x"),
        (f"{live.PREFIX}istio-systen", 64, "did you mean 'istio-system'?"),
        (f"{live.PREFIX}none/shop", 64, "--context none: no such context"),
        (f"{live.PREFIX}kube-node-lease", 65, "nothing to check in namespace kube-node-lease"),
    ],
)
def test_a_source_that_is_not_there(source: str, code: int, words: str) -> None:
    command = [sys.executable, "-m", "meshproof", "lint", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
