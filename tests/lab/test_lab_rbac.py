"""Runs with exactly the rights that `meshproof rbac` prints; with one of them taken away."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.commands import kubectl, list_leftovers, meshproof, snapshot
from tests.lab.laboratory import load_meshproof
from tests.lab.nightly import OPS, USERS, account, granted, holding, job, users


def test_the_nightly_run_with_its_rights(tmp_path: Path) -> None:
    file = Path(__file__).parent / "sandbox_books.yaml"
    with users(), holding("sandbox-books", file) as name:
        live = "--rules-from", USERS, "--rules-from", name
        with account(tmp_path, *live) as kubeconfig:
            ended = meshproof("smoke", "--kubeconfig", kubeconfig, *live, folder=tmp_path)
    assert ended.code == 0, ended.output
    outcomes = ended.outcomes("") | ended.outcomes("VirtualService")
    assert set(outcomes.values()) == {"passed"}
    assert "cart: x-beta yes -> v2" in outcomes
    assert "books: path /new -> books-v2" in outcomes
    (analysis,) = [
        result for result in ended.run.results if result.promise == "control plane: analysis"
    ]
    assert str(analysis.outcome) == "not supported"
    assert "no right" in analysis.message
    assert list_leftovers(ended) == []


#: What RBAC lets the account do, and the policy does not.
OF_OTHERS = {
    "a pod": ("-n", USERS, "run", "intruder", "--image=none", "--dry-run=server"),
    "a namespace": ("delete", "namespace", USERS, "--dry-run=server"),
    "a new namespace": ("create", "namespace", "intruder", "--dry-run=server"),
    "a port-forward": ("-n", "kube-system", "port-forward", "POD", ":53"),
}


def test_nothing_of_others_is_changed_or_reached(tmp_path: Path) -> None:
    (pod, *_) = kubectl("get", "pods", "-n", "kube-system", "-o", "name").splitlines()
    refused: dict[str, str] = {}
    with users(), account(tmp_path, "--rules-from", USERS) as kubeconfig:
        until = time.monotonic() + 20
        for name, arguments in OF_OTHERS.items():
            typed = [pod if word == "POD" else word for word in arguments]
            # The API server takes a new policy into account within a second or two.
            while not refused.get(name) and time.monotonic() < until:
                refused[name] = said_of_refusal(kubeconfig, *typed)
        create_own = ("create", "namespace", "meshproof-x", "--dry-run=server")
        assert "created" in kubectl("--kubeconfig", kubeconfig, *create_own)
    assert all("meshproof changes objects" in refused[name] for name in [*OF_OTHERS][:3]), refused
    assert "meshproof reaches pods" in refused["a port-forward"]


def said_of_refusal(kubeconfig: str, *arguments: str) -> str:
    """Return what the policy says of a command; nothing where it is carried out."""
    try:
        kubectl("--kubeconfig", kubeconfig, *arguments)
    except RuntimeError as error:
        return str(error)
    return ""


def test_the_gate_with_its_rights(tmp_path: Path) -> None:
    with account(tmp_path, "--for", "test") as kubeconfig:
        ended = meshproof(
            *("test", "--mesh", "cluster", "--kubeconfig", kubeconfig),
            *("-k", "rotation or mtls or addon or control"),
            folder=tmp_path,
        )
    assert ended.code == 0, ended.output
    outcomes = ended.outcomes("") | ended.outcomes("PeerAuthentication")
    assert set(outcomes.values()) == {"passed"}
    for name in ("default rotation", "mtls strict", "addon zipkin", "control plane: in sync"):
        assert name in outcomes
    assert list_leftovers(ended) == []


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("namespaces", "namespaces"),
        ("deployments", "deployments.apps"),
        ("virtualservices", "networking.istio.io"),
        ("pods/portforward", "pods/portforward"),
    ],
)
def test_a_right_that_is_missing_is_named(resource: str, words: str, tmp_path: Path) -> None:
    def lacks(rule: Any) -> bool:
        return resource in rule["resources"]

    with account(tmp_path, but=lacks) as kubeconfig:
        ended = meshproof("smoke", "--kubeconfig", kubeconfig, folder=tmp_path)
        assert ended.code == 69, ended.output
        message = ended.message("productpage")
    assert "not allowed to" in message
    assert words in message
    assert "`meshproof rbac` prints the Role" in message


def test_a_sandbox_that_may_not_be_made(tmp_path: Path) -> None:
    def makes_pods(rule: Any) -> bool:
        return "pods" in rule["resources"] and "create" in rule["verbs"]

    live = "--rules-from", USERS
    with users(), account(tmp_path, *live, but=makes_pods) as kubeconfig:
        ended = meshproof("smoke", "--kubeconfig", kubeconfig, *live, folder=tmp_path)
    assert ended.code == 69, ended.output
    assert (ended.outcomes("")["productpage"], list_leftovers(ended)) == ("passed", [])
    message = ended.message("cart: x-beta yes -> v2")
    assert "not allowed to apply ConfigMap" in message
    assert "`meshproof rbac` prints the Role" in message


def test_live_rules_that_may_not_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from meshproof.cli import main

    with users(), account(tmp_path) as kubeconfig:
        assert main(["smoke", "--kubeconfig", kubeconfig, "--rules-from", USERS]) == 69
    assert re.search(r"not allowed to list \w+: .* is forbidden", capfd.readouterr().err)


@pytest.fixture
def image() -> str:
    """The reference of an image with this project and what it needs, loaded into the lab."""
    lab = os.environ.get("MESHPROOF_LAB")
    if not lab:
        pytest.skip("needs the lab's program in MESHPROOF_LAB")
    return load_meshproof(lab)


def test_the_cron_job_runs_as_a_job(image: str) -> None:
    arguments = ("--rules-from", USERS, "--cronjob", "--image", image)
    with users(), granted(*arguments):
        before = snapshot()
        kubectl("create", "job", "-n", OPS, "now", "--from=cronjob/meshproof-smoke")
        log = job("now")
        created = {line for line in snapshot() ^ before if f" {OPS} now" not in line}
        assert created == set()
    assert "+ smoke: split half" in log, log
    assert "+ cart: x-beta yes -> v2" in log
    assert "Passed: " in log
