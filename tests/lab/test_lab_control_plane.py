"""Promise 7 on the lab: green as it is, red for each fault that is planted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

import pytest

from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.protocol import Aspect, AspectReport
from tests.lab.commands import kubectl

#: A filter that istiod passes on and that Envoy refuses.
REFUSED = {
    "apiVersion": "networking.istio.io/v1alpha3",
    "kind": "EnvoyFilter",
    "spec": {
        "priority": 10,
        "configPatches": [
            {
                "applyTo": "HTTP_FILTER",
                "match": {"context": "SIDECAR_INBOUND"},
                "patch": {
                    "operation": "INSERT_FIRST",
                    "value": {
                        "name": "meshproof.planted",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                            "inline_code": "this is not Lua",
                        },
                    },
                },
            }
        ],
    },
}
NO_GATEWAY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "spec": {
        "hosts": ["absent.test"],
        "gateways": ["absent"],
        "http": [{"route": [{"destination": {"host": "orders"}}]}],
    },
}


@contextlib.contextmanager
def planted(mesh: ClusterMesh, body: Mapping[str, object]) -> Iterator[str]:
    """Have an object in the run's namespace for as long as the context lasts; yield its place."""
    namespace = mesh.replicas()[0].namespace
    metadata = {"name": "planted", "namespace": namespace, "labels": mesh.labels}
    kubectl("apply", "-f", "-", text=json.dumps({**body, "metadata": metadata}))
    try:
        yield namespace
    finally:
        kubectl("delete", str(body["kind"]), "planted", "-n", namespace, "--wait")


def until_wrong(mesh: ClusterMesh, aspect: Aspect, *words: str) -> None:
    """Wait until something is wrong, in these words."""
    reports: list[AspectReport] = []

    def look() -> bool | None:
        reports.append(mesh.inspect_control_plane(aspect))
        return any(all(word in fault for word in words) for fault in reports[-1].faults) or None

    wait_for(look, 20, lambda: f"{aspect}: {reports[-1]}", 0.2)


@pytest.mark.parametrize("aspect", list(Aspect))
def test_every_aspect_is_green_and_was_looked_at(shop: ClusterMesh, aspect: Aspect) -> None:
    report = shop.inspect_control_plane(aspect)
    assert report.lack is None
    assert report.inspected
    assert not report.faults


def test_versions_are_those_that_the_parts_tell_themselves(shop: ClusterMesh) -> None:
    notes = "\n".join(shop.notes)
    version = json.loads(kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
    assert f"Kubernetes {version}" in notes
    assert "istiod 1.31-alpha.eed52ebb66ad (namespace istio-system, revision default)" in notes
    assert "istioctl 1.31-alpha.eed52ebb66ad" in notes
    assert f"proxies 1.31-alpha.eed52ebb66ad ({len(shop.replicas()) + 1})" in notes
    assert "skew" not in notes
    assert "1.0.0" not in notes


def test_a_refused_config_is_named_with_the_proxy_and_its_reason(shop: ClusterMesh) -> None:
    with planted(shop, REFUSED):
        until_wrong(shop, Aspect.ACCEPTED, "orders-v1", "it refuses", "script load error")
        until_wrong(shop, Aspect.IN_SYNC, "orders-v1", "NACK: it refuses Listener")
    wait_for(
        lambda: not shop.inspect_control_plane(Aspect.ACCEPTED).faults or None,
        20,
        lambda: "stays red",
    )
    assert not shop.inspect_control_plane(Aspect.IN_SYNC).faults


def test_an_error_of_the_analyzers_is_told(shop: ClusterMesh) -> None:
    with planted(shop, NO_GATEWAY) as namespace:
        report = shop.inspect_control_plane(Aspect.ANALYSIS)
    origin = f"IST0101 VirtualService {namespace}/planted"
    assert f'{origin}: Referenced gateway not found: "absent"' in report.faults


def test_a_pod_without_a_sidecar_is_named(shop: ClusterMesh) -> None:
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "app", "image": "docker.io/namoo4u/orders:latest"}],
        },
    }
    labels = {**shop.labels, "sidecar.istio.io/inject": "false"}
    namespace = shop.replicas()[0].namespace
    metadata = {"name": "planted", "namespace": namespace, "labels": labels}
    kubectl("apply", "-f", "-", text=json.dumps({**bare, "metadata": metadata}))
    try:
        report = shop.inspect_control_plane(Aspect.INJECTION)
    finally:
        kubectl("delete", "pod", "planted", "-n", namespace, "--wait")
    assert f"{namespace}/planted has no sidecar" in report.faults
    assert not shop.inspect_control_plane(Aspect.INJECTION).faults


def test_without_istioctl_the_analysis_is_not_supported_and_says_how_to_get_it(
    shop: ClusterMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    report = shop.inspect_control_plane(Aspect.ANALYSIS)
    assert str(report.lack).startswith(
        "istioctl is not on PATH. Take the one of your Istio's version"
    )
    assert not report.inspected
