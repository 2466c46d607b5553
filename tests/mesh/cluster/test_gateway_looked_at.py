"""The gateway, which serves every visit, is looked at: without one no look is a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.objects import RUN_LABEL
from meshproof.mesh.cluster.istio import control_plane
from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.proxies.sync import SyncStatus
from meshproof.mesh.protocol import Aspect, ClusterOptions
from tests.mesh.cluster.fake_kube import FakeKube

LOOKS = (Aspect.READY, Aspect.IN_SYNC, Aspect.ACCEPTED)
MISSING = (
    "no ingress gateway is known: Service istio-system/istio-ingressgateway is missing; name the "
    "Service of yours with --mesh-ingress NAMESPACE/NAME: there is istio-ingress/istio-ingress"
)


def pod(name: str, namespace: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    state = [{"name": "istio-proxy", "ready": True, "state": {"running": {}}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy"}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": state,
        },
    }


#: What Istio's Helm chart `gateway` makes when it is called istio-ingress.
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "istio-ingress", "namespace": "istio-ingress"},
    "spec": {"selector": {"istio": "ingress"}},
}


@pytest.fixture
def kube(tmp_path: Path) -> FakeKube:
    """A cluster with istiod and an app; its gateway is in a namespace of its own."""
    return FakeKube(
        tmp_path / "objects.json",
        pod("istiod-0", "istio-system", app="istiod"),
        pod("shop-0", "shop", **{RUN_LABEL: "x"}),
        pod("istio-ingress-0", "istio-ingress", istio="ingress"),
        SERVICE,
    )


def istio(ingress: str) -> Istio:
    return Istio("istio-system", "", "1.31", (), ingress)


def look(kube: FakeKube, aspect: Aspect, ingress: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Look where all that is there is in order."""
    monkeypatch.setattr(control_plane, "get_from_pod", lambda *_: json.dumps({}))
    monkeypatch.setattr(SyncStatus, "faults", lambda *_: iter(()))
    monkeypatch.setattr(ControlPlane, "_read_sync", lambda _: SyncStatus())
    istioctl = Istioctl(ClusterOptions(), Path())
    return ControlPlane(
        cast("Any", kube), istio(ingress), istioctl, ["shop"], f"{RUN_LABEL}=x"
    ).inspect(aspect)


@pytest.mark.parametrize("aspect", LOOKS)
def test_without_a_gateway_no_look_is_a_pass(
    kube: FakeKube, aspect: Aspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = look(kube, aspect, "istio-system/istio-ingressgateway", monkeypatch)
    assert report.faults == (MISSING,)


@pytest.mark.parametrize("aspect", LOOKS)
def test_one_that_is_named_is_looked_at(
    kube: FakeKube, aspect: Aspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = look(kube, aspect, "istio-ingress/istio-ingress", monkeypatch)
    assert (report.inspected, report.faults) == (2, ())


@pytest.mark.parametrize("aspect", LOOKS)
def test_one_without_a_running_pod_is_none(
    kube: FakeKube, aspect: Aspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.apply(pod("istio-ingress-0", "istio-ingress", "Succeeded", istio="ingress"))
    report = look(kube, aspect, "istio-ingress/istio-ingress", monkeypatch)
    assert report.faults == ("no pod runs behind the ingress gateway istio-ingress/istio-ingress",)


def test_rules_are_not_waited_for_without_the_gateway(kube: FakeKube) -> None:
    mesh = cast("Any", ClusterMesh.__new__(ClusterMesh))
    mesh._kube, mesh._app_namespaces = kube, ["shop"]
    mesh._scope = type("Place", (), {"run": "x"})
    mesh._istio = istio("istio-system/istio-ingressgateway")
    with pytest.raises(NotReady) as excinfo:
        mesh.proxies()
    assert str(excinfo.value) == MISSING
    mesh._istio = istio("istio-ingress/istio-ingress")
    assert [str(proxy) for proxy in mesh.proxies()] == [
        "shop-0.shop",
        "istio-ingress-0.istio-ingress",
    ]
