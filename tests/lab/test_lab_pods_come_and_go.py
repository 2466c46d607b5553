"""A pod of the gateway comes, and goes, while a run waits for its proxies: that reddens nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof import manifests, rules
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.proxies.settling import wait_served
from meshproof.mesh.protocol import Aspect, ClusterOptions
from tests.lab.commands import kubectl

GATEWAY = ("-n", "istio-system", "deployment/istio-ingressgateway")
#: Seconds in which a pod is gone, or a new one ready.
LONGEST = 90


def scale(replicas: int) -> None:
    kubectl("scale", *GATEWAY, f"--replicas={replicas}")


def gateways(mesh: ClusterMesh) -> list[str]:
    return [proxy.pod for proxy in mesh.proxies() if proxy.gateway]


@pytest.fixture
def second_gateway(shop: ClusterMesh) -> Iterator[str]:
    """A second pod of the gateway, which has only just begun to run."""
    (first,) = gateways(shop)
    scale(2)
    try:
        second_pod = wait_for(
            lambda: [pod for pod in gateways(shop) if pod != first] or None,
            LONGEST,
            lambda: "there is no second pod",
            0.05,
        )
        yield second_pod[0]
    finally:
        scale(1)
        kubectl("rollout", "status", *GATEWAY)


def test_a_pod_that_comes_is_waited_for_and_one_that_goes_is_not(
    shop: ClusterMesh, second_gateway: str, tmp_path: Path
) -> None:
    with shop.applied(rules.read_rules(manifests.rules("mtls_strict", "v1"))) as served:
        assert second_gateway in gateways(shop)
        assert served.proxies == len(shop.proxies())
    for aspect in (Aspect.READY, Aspect.IN_SYNC, Aspect.ACCEPTED):
        assert shop.inspect_control_plane(aspect).faults == ()
    looks, last = 0, 0
    scale(1)
    with Kube.connected(ClusterOptions(), tmp_path) as kube:
        until = time.monotonic() + LONGEST
        while kube.get("v1", "Pod", second_gateway, "istio-system"):
            assert time.monotonic() < until
            last = wait_served(kube, shop.proxies, []).proxies
            looks += 1
            for aspect in (Aspect.READY, Aspect.IN_SYNC, Aspect.ACCEPTED):
                assert shop.inspect_control_plane(aspect).faults == ()
    assert looks > 1
    assert last == len(shop.proxies())
    assert second_gateway not in gateways(shop)
