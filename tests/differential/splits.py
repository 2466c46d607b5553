"""The weights that an Envoy holds, as shares: these are exact where answers can only be counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.mesh.envoy.envoy import Envoy

#: Cluster -> its share in millionths, in the order of the names.
Split = tuple[tuple[str, int], ...]
_DUMP = "/config_dump?resource=dynamic_route_configs"


def read_splits(envoy: Envoy, prefix: str = "") -> frozenset[Split]:
    """Return the splits of the routes that requests can reach, of configs with a prefix."""
    text = envoy.read_admin(_DUMP)
    dump = json.loads(text) if text.startswith("{") else {}  # without any, Envoy says so in words
    configs = [entry["route_config"] for entry in dump.get("configs", [])]
    hosts = [
        host
        for config in configs
        if config.get("name", "").startswith(prefix)
        for host in config.get("virtual_hosts", [])
        if not _has_no_service(host)
    ]
    return frozenset(split for host in hosts for split in _iter_splits(host))


def _has_no_service(host: dict[str, Any]) -> bool:
    """Say whether a virtual host is a wildcard of the cluster: services have their own ones.

    istiod alone makes it, for names that are no service at the port (seed 2026120312, set 131).
    """
    name = str(host.get("name", ""))
    return name.startswith("*.") and name.partition(":")[0].endswith(CLUSTER_DOMAIN)


def _iter_splits(host: dict[str, Any]) -> Iterator[Split]:
    """Yield the splits of a virtual host, up to the route that takes every request."""
    for route in host.get("routes", []):
        weighted = route.get("route", {}).get("weighted_clusters", {}).get("clusters", [])
        if split := _compute_shares(weighted):
            yield split
        if _takes_all(route["match"]):
            return


def _compute_shares(weighted: list[dict[str, Any]]) -> Split:
    """Return the shares of clusters with weights, nothing if all goes to one of them."""
    weights: dict[str, int] = {}
    for entry in weighted:
        name = entry["name"].partition(" ")[0]  # ours says behind it why a cluster is missing
        weights[name] = weights.get(name, 0) + int(entry.get("weight", 0))
    total = sum(weights.values())
    shares = sorted(
        (name, round(weight * 1_000_000 / total)) for name, weight in weights.items() if weight
    )
    return tuple(shares) if len(shares) > 1 else ()


def _takes_all(match: dict[str, Any]) -> bool:
    """Say whether a match takes every request: no later one is served by istiod."""
    has_conditions = match.get("headers") or match.get("query_parameters")
    takes_paths = match.get("prefix") == "/" or match.get("safe_regex", {}).get("regex") == ".*"
    return takes_paths and not has_conditions
