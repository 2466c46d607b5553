"""Pods that come and go while proxies are waited for or looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.istio import control_plane
from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.proxies.settling import wait_served
from meshproof.mesh.protocol import Aspect, ClusterOptions
from tests.mesh.cluster.dumps import GATEWAY, SIDECAR, SOURCE, routes, rule, serve
from tests.mesh.cluster.fake_kube import FakeKube

JOINED = Proxy("gw-2", "istio-system", gateway=True)
RULE = rule(gateways=["ours/in"])


pytestmark = pytest.mark.usefixtures("short_waits")


def pod(of: Proxy, ready: bool = True, ends: bool = False) -> dict[str, Any]:
    """Return a pod of a gateway, or of istiod, that runs."""
    app = "istiod" if of.pod.startswith("istiod") else "gateway"
    metadata = {"name": of.pod, "namespace": of.namespace, "labels": {"app": app}}
    if ends:
        metadata["deletionTimestamp"] = "2026-11-29T03:00:00Z"
    state = {"type": "Ready", "status": str(ready)}
    status = {"phase": "Running", "conditions": [state]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


def cluster(folder: Path, *pods: dict[str, Any]) -> Any:
    return FakeKube(folder / "objects.json", *pods)


def in_turn(*lists: list[Proxy]) -> Callable[[], list[Proxy]]:
    """Return what lists each of these in turn, the last one from then on."""
    remaining = list(lists)
    return lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0]


def test_a_pod_that_joins_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kube, list_proxies = cluster(tmp_path), in_turn([GATEWAY], [GATEWAY, JOINED])
    serve(monkeypatch, {"gw-1": [routes(SOURCE)], "gw-2": [routes()]})
    with pytest.raises(NotReady, match=r"gw-2\.istio-system does not have VirtualService cart$"):
        wait_served(kube, list_proxies, [RULE])
    list_proxies = in_turn([GATEWAY], [GATEWAY, JOINED])
    serve(monkeypatch, {"gw-1": [routes(SOURCE)], "gw-2": [routes(), routes(SOURCE)]})
    assert wait_served(kube, list_proxies, [RULE]).proxies == 2


@pytest.mark.parametrize("gone", [(), (pod(JOINED, ends=True),)])
def test_a_pod_that_goes_during_a_look_is_left_out(
    gone: tuple[dict[str, Any], ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kube = cluster(tmp_path, pod(GATEWAY), *gone)
    serve(monkeypatch, {"gw-1": [routes(SOURCE)]})
    assert wait_served(kube, in_turn([GATEWAY, JOINED], [GATEWAY]), [RULE]).proxies == 1


def test_a_pod_that_is_there_must_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    list_proxies = in_turn([GATEWAY, JOINED])
    serve(monkeypatch, {"gw-1": [routes(SOURCE)]})
    with pytest.raises(NotReady, match=r"^cannot forward port 15000 of gw-2"):
        wait_served(cluster(tmp_path, pod(GATEWAY), pod(JOINED)), list_proxies, [RULE])
    starting = cluster(tmp_path, pod(GATEWAY), pod(JOINED, ready=False))
    with pytest.raises(NotReady, match=r"gw-2\.istio-system does not answer yet: cannot forward"):
        wait_served(starting, list_proxies, [RULE])


def test_a_pod_by_name_must_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, {})
    with pytest.raises(NotReady, match=r"^cart-1\.ours is gone"):
        wait_served(cluster(tmp_path), [SIDECAR], [rule()])


def test_all_pods_may_not_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, {})
    with pytest.raises(NotReady, match="none is left"):
        wait_served(cluster(tmp_path), in_turn([GATEWAY], []), [RULE])


# What the control plane says of them.

ISTIOD, SECOND = Proxy("istiod-1", "istio-system"), Proxy("istiod-2", "istio-system")


def plane(kube: Kube) -> ControlPlane:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ingress", "namespace": "istio-system"},
        "spec": {"selector": {"app": "gateway"}},
    }
    kube.apply(service)
    istio = Istio("istio-system", "", "1.31.0", (), "istio-system/ingress")
    return ControlPlane(kube, istio, Istioctl(ClusterOptions(), Path()), [], "")


def connected(*names: str) -> str:
    return json.dumps([{"proxy": f"{name}.istio-system", "resources": {}} for name in names])


def test_a_gateway_that_goes_is_not_missed_by_istiod(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kube = cluster(tmp_path, pod(ISTIOD), pod(GATEWAY), pod(JOINED))

    def syncz(*arguments: object) -> str:
        kube.delete("v1", "Pod", JOINED.pod, JOINED.namespace)
        return connected("gw-1")

    monkeypatch.setattr(control_plane, "get_from_pod", syncz)
    report = plane(kube).inspect(Aspect.IN_SYNC)
    assert (report.inspected, report.faults) == (1, ())


def test_a_gateway_that_stays_must_be_connected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kube = cluster(tmp_path, pod(ISTIOD), pod(GATEWAY), pod(JOINED))
    monkeypatch.setattr(control_plane, "get_from_pod", lambda *_: connected("gw-1"))
    report = plane(kube).inspect(Aspect.IN_SYNC)
    assert report.faults == ("gw-2.istio-system is not connected to istiod",)


def test_a_pod_that_starts_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    starting = pod(JOINED, ready=False)
    kube = cluster(tmp_path, pod(ISTIOD), pod(GATEWAY), starting, pod(SECOND, ends=True))
    control, list_bodies = plane(kube), kube.list

    def soon(*arguments: str) -> list[dict[str, Any]]:
        bodies: list[dict[str, Any]] = list_bodies(*arguments)
        kube.apply(pod(JOINED))
        return bodies

    late = control.inspect(Aspect.READY)
    assert late.inspected == 3
    assert late.faults == ("istio-system/gw-2: Running, not ready: no container yet",)
    kube.list = soon
    assert control.inspect(Aspect.READY).faults == ()


def test_a_gateway_whose_pods_all_end_is_none(tmp_path: Path) -> None:
    kube = cluster(tmp_path, pod(ISTIOD, ends=True), pod(GATEWAY, ends=True))
    none, no_gateway = plane(kube).inspect(Aspect.READY).faults
    assert none == "there is no istiod in namespace istio-system"
    assert "istio-system/ingress" in no_gateway


def test_an_istiod_that_goes_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kube = cluster(tmp_path, pod(ISTIOD), pod(SECOND), pod(GATEWAY))

    def syncz(_: object, name: str, *__: object) -> str:
        if name == SECOND.pod:
            kube.delete("v1", "Pod", SECOND.pod, SECOND.namespace)
            raise NotReady("cannot forward port 15014 of istiod-2: not found")
        return connected("gw-1")

    monkeypatch.setattr(control_plane, "get_from_pod", syncz)
    assert plane(kube).inspect(Aspect.IN_SYNC).faults == ()


def test_what_a_gateway_that_goes_has_refused_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kube = cluster(tmp_path, pod(GATEWAY), pod(JOINED))
    control = plane(kube)

    def dumped(_: object, name: str, *__: object) -> str:
        if name == JOINED.pod:
            kube.delete("v1", "Pod", JOINED.pod, JOINED.namespace)
            raise NotReady("cannot forward port 15000 of gw-2: not found")
        return json.dumps({"error_state": {"details": "no such filter"}})

    monkeypatch.setattr(control_plane, "get_from_pod", dumped)
    report = control.inspect(Aspect.ACCEPTED)
    assert report.inspected == 1
    assert report.faults == ("gw-1.istio-system: it refuses an update: no such filter",)
