"""What of a request picks its pod is in its route, and its cluster picks by it."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy import translate
from tests.mesh.envoy.translating import IDENTITY, cluster, routes, snapshot

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {exact: /v1}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /v2}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {exact: /split}}]
    route:
    - {destination: {host: reviews, subset: v1}, weight: 50}
    - {destination: {host: reviews, subset: v2}, weight: 50}
    - {destination: {host: reviews, subset: v3}, weight: 0}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {consistentHash: HASH}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
  - name: v3
    labels: {version: v3}
    trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: b, maglev: {}}}}
"""
RING = {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1024}}
POLICIES = {
    "{httpHeaderName: A}": {"header": {"header_name": "a"}},
    "{httpQueryParameterName: K}": {"query_parameter": {"name": "K"}},
    "{useSourceIp: true}": {"connection_properties": {"source_ip": True}},
    "{httpCookie: {name: c}}": {"cookie": {"name": "c", "path": ""}},
    "{httpCookie: {name: c, ttl: 1m, path: /a}}": {
        "cookie": {"name": "c", "path": "/a", "ttl": "60s"}
    },
}


@pytest.mark.parametrize("pod_hash", POLICIES)
def test_each_kind_of_key(pod_hash: str) -> None:
    by_v1, by_v2, by_split = routes(TEXT.replace("HASH", pod_hash))
    assert by_v1["route"]["hash_policy"] == [POLICIES[pod_hash]]
    assert "hash_policy" not in by_v2["route"]
    assert by_split["route"]["hash_policy"] == [POLICIES[pod_hash]]


def test_a_host_without_routes_of_its_own_is_hashed_too() -> None:
    rule, _, definition = TEXT.replace("HASH", "{useSourceIp: true}").partition("---\n")
    other_rule = rule.replace("hosts: [reviews]", "hosts: [page]")
    (route,) = routes(f"{other_rule}---\n{definition}")
    assert route["route"]["hash_policy"] == [{"connection_properties": {"source_ip": True}}]


@pytest.mark.parametrize(
    ("pod_hash", "subset", "balancer"),
    [
        ("{useSourceIp: true}", "v1", RING),
        ("{useSourceIp: true}", "", RING),
        ("{useSourceIp: true}", "v2", {"lb_policy": "LEAST_REQUEST"}),
        ("{useSourceIp: true}", "v3", {"lb_policy": "MAGLEV", "maglev_lb_config": {}}),
        (
            "{useSourceIp: true, minimumRingSize: 9}",
            "v1",
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 9}},
        ),
        (
            "{useSourceIp: true, maglev: {tableSize: 31}}",
            "v1",
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 31}},
        ),
    ],
)
def test_the_cluster_picks_by_it(pod_hash: str, subset: str, balancer: dict[str, object]) -> None:
    clusters = translate.translate_clusters(snapshot(TEXT.replace("HASH", pod_hash)), IDENTITY)
    (config,) = (config for config in clusters if config["name"] == cluster(subset))
    assert balancer.items() <= config.items()
