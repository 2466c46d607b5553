"""Whether the clusters of a proxy have the endpoints of pods that are ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.proxies.settling import wait_served
from tests.mesh.cluster.dumps import SIDECAR, SOURCE, assigned, routes, rule, serve
from tests.mesh.cluster.fake_kube import FakeKube

HOST = "cart.ours.svc.cluster.local"
ALL, V1, V9 = (f"outbound|80|{subset}|{HOST}" for subset in ("", "v1", "v9"))
RULES = "networking.istio.io/v1"

pytestmark = pytest.mark.usefixtures("short_waits")


class Cluster(FakeKube):
    """A stand-in that knows which kinds were applied."""

    applied_kinds = frozenset({(RULES, "DestinationRule"), ("v1", "Service")})


def body(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ours", **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def service(**spec: Any) -> dict[str, Any]:
    port = {"port": 80, "targetPort": "web"}
    spec = {"clusterIP": "10.0.0.1", "selector": {"app": "cart"}, "ports": [port], **spec}
    return body("v1", "Service", "cart", spec=spec)


def pod(name: str, address: str, ready: bool = True, version: str = "v1") -> dict[str, Any]:
    state = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    state["conditions"] = [{"type": "Ready", "status": str(ready)}]
    spec = {"containers": [{"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}]}
    labels = {"labels": {"app": "cart", "version": version}}
    return body("v1", "Pod", name, metadata=labels, spec=spec, status=state)


def subsets(**labels: dict[str, str]) -> dict[str, Any]:
    subset_list = [
        {"name": name, "labels": subset_labels} for name, subset_labels in labels.items()
    ]
    return body(RULES, "DestinationRule", "cart", spec={"host": "cart", "subsets": subset_list})


VERSIONS = subsets(v1={"version": "v1"}, v9={"version": "v9"})
ONE, TWO = pod("cart-v1-a", "10.1.0.1"), pod("cart-v2-b", "10.1.0.2", version="v2")


def wait(
    monkeypatch: pytest.MonkeyPatch, folder: Path, dumps: list[str], *objects: dict[str, Any]
) -> int:
    """Wait for a rule that is there, while the endpoints are as these dumps tell in turn."""
    serve(monkeypatch, {"cart-1": [routes(SOURCE)]}, endpoints=dumps)
    kube: Any = Cluster(folder / "objects.json", *objects)
    return wait_served(kube, [SIDECAR], [rule()], run_name="ours").proxies


def test_a_route_without_an_endpoint_is_not_served_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bodies = (service(), ONE, TWO)
    empty, half = assigned(**{ALL: []}), assigned(**{ALL: ["10.1.0.1"]})
    for late, name in ((empty, "cart-v1-a"), (half, "cart-v2-b")):
        with pytest.raises(NotReady) as excinfo:
            wait(monkeypatch, tmp_path, [late], *bodies)
        assert f"cart-1.ours does not have pod {name} in {ALL} yet" in str(excinfo.value)
    full = assigned(**{ALL: ["10.1.0.1", "10.1.0.2"]})
    assert wait(monkeypatch, tmp_path, [empty, half, full], *bodies) == 1


def test_endpoints_must_be_there_in_two_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flapping = [assigned(**{ALL: ["10.1.0.1"]}), assigned(**{ALL: []})] * 500
    with pytest.raises(NotReady):
        wait(monkeypatch, tmp_path, flapping, service(), ONE)


def test_a_subset_that_selects_nobody_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dump = assigned(**{ALL: ["10.1.0.1"], V1: ["10.1.0.1"], V9: []})
    assert wait(monkeypatch, tmp_path, [dump], service(), ONE, VERSIONS) == 1


def test_a_subset_that_selects_a_pod_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dump = assigned(**{ALL: ["10.1.0.1"], V1: [], V9: []})
    with pytest.raises(NotReady) as excinfo:
        wait(monkeypatch, tmp_path, [dump], service(), ONE, VERSIONS)
    assert f"cart-1.ours does not have pod cart-v1-a in {V1} yet" in str(excinfo.value)


def test_where_all_endpoints_are_kept_from_requests_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bodies = (service(), ONE, TWO)
    with pytest.raises(NotReady) as excinfo:
        wait(monkeypatch, tmp_path, [assigned(**{ALL: ["!10.1.0.1", "!10.1.0.2"]})], *bodies)
    assert f"cart-1.ours has no healthy endpoint in {ALL}" in str(excinfo.value)
    ejected = assigned(**{ALL: ["10.1.0.1", "!10.1.0.2"]})
    assert wait(monkeypatch, tmp_path, [ejected], *bodies) == 1


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param((), id="no Service"),
        pytest.param((service(), pod("cart-1", "10.1.0.1", ready=False)), id="no pod is ready"),
        pytest.param((service(selector=None), ONE), id="no selector"),
        pytest.param((service(clusterIP="None"), ONE), id="headless"),
        pytest.param((service(internalTrafficPolicy="Local"), ONE), id="of this node alone"),
        pytest.param((service(ports=[{"port": 81}]), ONE), id="other port"),
        pytest.param(
            (service(ports=[{"port": 80, "targetPort": "other"}]), ONE), id="no port of that name"
        ),
        pytest.param((service(selector={"app": "pay"}), ONE), id="selects nobody"),
    ],
)
def test_what_may_have_no_endpoint_is_not_waited_for(
    objects: tuple[dict[str, Any], ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert wait(monkeypatch, tmp_path, [assigned(**{ALL: []})], *objects) == 1


def test_a_service_that_a_proxy_does_not_know_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert wait(monkeypatch, tmp_path, [assigned()], service(), ONE) == 1
