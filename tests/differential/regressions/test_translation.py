"""Config of the local mesh that a real istiod makes otherwise."""

from __future__ import annotations

from meshproof.mesh.envoy.translate import translate_clusters
from tests.mesh.envoy.translating import IDENTITY, snapshot


def test_many_retries_are_under_way_at_once() -> None:
    # istiod: core/cluster_traffic_policy.go, getDefaultCircuitBreakerThresholds.
    for cluster in translate_clusters(snapshot(), IDENTITY):
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert limits["max_retries"] == limits["max_requests"] == 2**32 - 1, cluster["name"]
