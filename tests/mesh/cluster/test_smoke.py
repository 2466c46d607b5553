"""The nightly run, without a cluster: what it stands up is small, what it takes is checked."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from meshproof import manifests
from meshproof.cli import main
from meshproof.mesh.cluster.api.objects import RunObject, RunScope


def make_run_objects(small: bool) -> list[RunObject]:
    documents = manifests.smoke()
    scope = RunScope("ab12", small=small)
    names = scope.file_namespaces(documents)
    assert names == ["default"], "one namespace is what a quota is for"
    return [
        run_object for document in documents for run_object in scope.make_objects(document, names)
    ]


def test_what_it_stands_up_is_one_of_each() -> None:
    kinds = Counter(run_object.kind for run_object in make_run_objects(small=True))
    assert kinds["Deployment"] == 6
    assert kinds["VirtualService"] == 2, "the way in, and the one rule"
    for run_object in make_run_objects(small=True):
        if run_object.kind == "Deployment":
            assert run_object.body["spec"]["replicas"] == 1


def test_every_pod_has_small_requests_and_limits() -> None:
    deployments = [
        run_object.body
        for run_object in make_run_objects(small=True)
        if run_object.kind == "Deployment"
    ]
    assert deployments
    for body in deployments:
        template = body["spec"]["template"]
        notes = template["metadata"]["annotations"]
        assert notes["sidecar.istio.io/proxyCPU"] == "10m"
        assert notes["sidecar.istio.io/proxyMemoryLimit"] == "256Mi"
        assert template["spec"]["terminationGracePeriodSeconds"] == 1
        for container in template["spec"]["containers"]:
            assert set(container["resources"]) == {"requests", "limits"}


def test_the_gate_leaves_containers_as_their_files_have_them() -> None:
    deployments = [
        run_object.body
        for run_object in make_run_objects(small=False)
        if run_object.kind == "Deployment"
    ]
    assert deployments
    for body in deployments:
        pod = body["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == 1, "a namespace's end waits for it"
        for container in pod["containers"]:
            assert "resources" not in container


@pytest.mark.parametrize("namespace", ["other/shop", ""])
def test_a_namespace_is_a_name(namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--rules-from", namespace]) == 64
    assert "expected the name of a namespace" in capsys.readouterr().err


def test_what_is_meant_is_about_live_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--intent", "meshproof.yaml"]) == 64
    assert "--intent is about live rules: name them with --rules-from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("ingress", "nowhere", "expected NAMESPACE/NAME of a Service"),
        ("image-map", "a", "expected IMAGE=IMAGE"),
        ("namespace-label", "a", "expected KEY=VALUE, a label"),
        ("namespace-label", "a=b c", "expected KEY=VALUE, a label"),
        ("namespace-label", "istio.io/rev=x", "a run sets istio.io/rev itself"),
    ],
)
def test_what_cannot_be_used_is_told_once(
    option: str, value: str, message: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "meshproof", "smoke", f"--{option}", value]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 64, done.stdout
    assert (done.stdout + done.stderr).count(f"{option} {value}: {message}") == 1


@pytest.mark.parametrize("arguments", [[], ["--rules-from", "shop"]])
def test_no_cluster_is_not_ready(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = str(tmp_path / "none")
    report = str(tmp_path / "report")
    assert main(["smoke", "--kubeconfig", none, "--report", report, *arguments]) == 69
    captured = capsys.readouterr()
    assert "no cluster" in captured.out + captured.err


@pytest.mark.parametrize("smoke", [True, False])
def test_its_tests_are_run_by_it_alone(smoke: bool, pytester: pytest.Pytester) -> None:
    arguments = ["--collect-only", "-q", "--pyargs", "meshproof.suites"]
    done = pytester.runpytest_subprocess(*arguments, *(["--mesh-smoke"] if smoke else []))
    assert ("test_smoke.py::test_others_are_split" in done.stdout.str()) == smoke
    assert "test_productpage.py" in done.stdout.str()
