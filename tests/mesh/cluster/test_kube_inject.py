"""`istioctl kube-inject` on a run's workloads, with a stand-in for istioctl on PATH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof import manifests
from meshproof.base.errors import NotReady
from meshproof.documents.manifest import parse
from meshproof.mesh.cluster.api.objects import RunObject, RunScope
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.istio.kube_inject import inject_sidecars
from meshproof.mesh.cluster.proxies.proxies import has_sidecar
from meshproof.mesh.protocol import ClusterOptions
from tests.manifest_text import write_head

Calls = Callable[[], list[list[str]]]
SCOPE = RunScope("ab12")


def placed(text: str = "") -> list[RunObject]:
    documents = parse(text, "own.yaml") if text else manifests.apps()
    names = SCOPE.file_namespaces(documents)
    return [
        run_object for document in documents for run_object in SCOPE.make_objects(document, names)
    ]


def by_hand(objects: list[RunObject], folder: Path, revision: str = "") -> list[RunObject]:
    istioctl = Istioctl(ClusterOptions(context="staging"), folder)
    return inject_sidecars(objects, istioctl, "istio-system", revision)


def make_workload(inject: str = "true", kind: str = "Deployment") -> str:
    return f"""
apiVersion: apps/v1
kind: {kind}
metadata: {{name: cart}}
spec:
  selector: {{matchLabels: {{app: cart}}}}
  template:
    metadata: {{labels: {{app: cart, sidecar.istio.io/inject: "{inject}"}}}}
    spec: {{containers: [{{name: cart, image: "example/cart:1"}}]}}
"""


def test_every_workload_gets_a_sidecar_and_nothing_else_is_changed(
    istioctl_calls: Calls, tmp_path: Path
) -> None:
    before = placed()
    after = by_hand(before, tmp_path)
    assert [(run_object.key, run_object.at) for run_object in after] == [
        (one.key, one.at) for one in before
    ]
    workloads = [run_object for run_object in after if run_object.kind == "Deployment"]
    assert len(workloads) > 5
    for workload in workloads:
        assert has_sidecar(workload.body["spec"]["template"])
        assert "status" not in workload.body
        assert "creationTimestamp" not in workload.body["spec"]["template"]["metadata"]
    unchanged = [run_object for run_object in before if run_object.kind != "Deployment"]
    assert unchanged
    assert unchanged == [run_object for run_object in after if run_object.kind != "Deployment"]
    assert istioctl_calls() == [
        ["kube-inject", "--filename=-", "--istioNamespace=istio-system", "--context=staging"]
    ]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job"])
def test_other_workloads_of_own_files_get_one_too(
    istioctl_calls: Calls, tmp_path: Path, kind: str
) -> None:
    (injected,) = by_hand(placed(make_workload(kind=kind)), tmp_path, revision="canary")
    assert has_sidecar(injected.body["spec"]["template"])
    assert "--revision=canary" in istioctl_calls()[0]


def test_one_that_gets_none_is_named_with_its_place(istioctl_calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"own.yaml:2: istioctl kube-inject gave cart no sidecar"):
        by_hand(placed(make_workload(inject="false")), tmp_path)


@pytest.mark.usefixtures("istioctl_calls")
def test_what_istioctl_says_of_its_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ISTIOCTL_FAILS", "kube-inject")
    with pytest.raises(NotReady, match=r"kube-inject .*no such thing"):
        by_hand(placed(make_workload()), tmp_path)


def test_without_istioctl_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotReady, match=r"istioctl is not on PATH\. Take the one of your Istio's"):
        by_hand(placed(make_workload()), tmp_path)


def test_files_without_a_workload_need_no_istioctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    service = placed(write_head("Service", "x") + "spec: {ports: []}\n")
    assert by_hand(service, tmp_path) == service
