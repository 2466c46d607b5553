"""Translate consistentHash: the hash policy of a route, and the balancer of a cluster.

Sources: Envoy's v3 API reference (RouteAction.HashPolicy, Cluster.LbPolicy); istiod,
route.ConsistentHashToHashPolicy and ApplyRingHashLoadBalancer.
"""

from __future__ import annotations

from meshproof.mesh.envoy.actions import format_duration
from meshproof.mesh.envoy.envoy import Resource
from meshproof.rules.model import DestinationRule, PodHash

#: istiod's size of a ring that does not say its own.
_RING_SIZE = 1024


def find_hash(rule: DestinationRule | None, subset_name: str) -> PodHash | None:
    """Return the hash by which a rule picks the pods of a subset, "" for the whole host."""
    balancers = dict(rule.balancers) if rule is not None else {}
    return balancers[subset_name] if subset_name in balancers else balancers.get("")


def find_route_hash(rule: DestinationRule | None, subset_name: str) -> PodHash | None:
    """Return the hash that a route to a subset has, which its cluster need not pick pods by.

    A subset with a balancer that is no hash keeps the one of its host. Source: istiod,
    route.HashForHTTPDestination (route.go, line 1577 of 1.31).
    """
    return find_hash(rule, subset_name) or find_hash(rule, "")


def translate_policy(pod_hash: PodHash) -> Resource:
    """Return Envoy's hash policy of a route."""
    match pod_hash.kind:
        case "header":
            return {"header": {"header_name": pod_hash.name}}
        case "query":
            return {"query_parameter": {"name": pod_hash.name}}
        case "source":
            return {"connection_properties": {"source_ip": True}}
    cookie: Resource = {"name": pod_hash.name, "path": pod_hash.cookie_path}
    if pod_hash.ttl is not None:
        cookie["ttl"] = format_duration(pod_hash.ttl)
    return {"cookie": cookie}


def translate_balancer(pod_hash: PodHash) -> Resource:
    """Return the fields of a cluster that picks pods by a hash."""
    if pod_hash.is_maglev:
        size = {"table_size": pod_hash.table_size} if pod_hash.table_size else {}
        return {"lb_policy": "MAGLEV", "maglev_lb_config": size}
    size = {"minimum_ring_size": pod_hash.table_size or _RING_SIZE}
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": size}
