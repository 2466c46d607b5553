"""What of a request picks its pod is in its route, and its cluster picks by it."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy import translate
from tests.manifest_text import write_hashed_rule
from tests.mesh.envoy.translating import IDENTITY, cluster, routes, snapshot

ROUTES = """\
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
"""
TEXT = ROUTES + write_hashed_rule("reviews", "HASH", "{httpHeaderName: b, maglev: {}}")
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
    assert by_v2["route"]["hash_policy"] == [POLICIES[pod_hash]], "as istiod: the host's"
    assert by_split["route"]["hash_policy"] == [POLICIES[pod_hash]] * 2


def test_a_host_without_routes_of_its_own_is_hashed_too() -> None:
    rule, _, definition = TEXT.replace("HASH", "{useSourceIp: true}").partition("---\n")
    other_rule = rule.replace("hosts: [reviews]", "hosts: [page]")
    (route,) = routes(f"{other_rule}---\n{definition}")
    assert route["route"]["hash_policy"] == [{"connection_properties": {"source_ip": True}}]


@pytest.mark.parametrize(
    ("retries", "by_one", "by_split"),
    [
        ("", False, True),
        ("retries: {attempts: 3}", False, True),
        ("retries: {attempts: 3, retryIgnorePreviousHosts: true}", True, True),
        ("retries: {attempts: 3, retryIgnorePreviousHosts: false}", False, False),
    ],
)
def test_a_further_try_stays_on_the_pod_of_the_key(
    retries: str, by_one: bool, by_split: bool
) -> None:
    text = TEXT.replace("HASH", "{useSourceIp: true}").replace(
        "    route:", f"    {retries}\n    route:" if retries else "    route:"
    )
    by_v1, _, split = routes(text)
    for route, is_elsewhere in ((by_v1, by_one), (split, by_split)):
        assert ("retry_host_predicate" in route["route"]["retry_policy"]) is is_elsewhere


def test_a_further_try_goes_to_another_pod_without_a_rule_or_a_key() -> None:
    rule, _, definition = TEXT.replace("HASH", "{useSourceIp: true}").partition("---\n")
    (default,) = routes(f"{rule.replace('hosts: [reviews]', 'hosts: [page]')}---\n{definition}")
    (ruled, *_) = routes(TEXT.replace("{consistentHash: HASH}", "{simple: RANDOM}"))
    for route in (default, ruled):
        assert "retry_host_predicate" in route["route"]["retry_policy"]


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
