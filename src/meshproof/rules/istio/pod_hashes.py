"""Reads consistentHash of a DestinationRule: what of a request decides which pod gets it.

Source: Istio reference, LoadBalancerSettings.ConsistentHashLB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshproof.documents.durations import parse_duration
from meshproof.documents.lookup import find_values, get_value, read_number, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.destination_rules import list_named_policies
from meshproof.rules.model import PodHash

#: Keys of a consistentHash that each say what of a request it is about.
_KEYS = ("httpHeaderName", "httpCookie", "httpQueryParameterName", "useSourceIp")


def read_balancers(document: Document) -> tuple[tuple[str, PodHash | None], ...]:
    """Return what picks the pods of each subset of a DestinationRule, "" for its whole host.

    Only parts with a setting of their own are there: None for any balancer that is no hash. A rule
    with settings of single ports has none: which of them holds for a port is not read.
    """
    parts = list_named_policies(document)
    if any(find_values(policy, "portLevelSettings") for _, policy in parts):
        return ()
    return tuple(_read_parts(parts))


def _read_parts(parts: list[tuple[str, Value]]) -> Iterator[tuple[str, PodHash | None]]:
    """Yield the balancer of each part; a subset without one has that of the whole host."""
    for name, policy in parts:
        balancers = find_values(policy, "loadBalancer")
        hashes = [
            read_hash(value) for value in find_values(policy, "loadBalancer", "consistentHash")
        ]
        if balancers or not name:
            yield name, next(iter(hashes), None)


def read_hash(value: Value) -> PodHash | None:
    """Return the hash of a consistentHash, None if it does not name what of a request it is of."""
    settings = value.content if isinstance(value.content, dict) else {}
    keys = [key for key in _KEYS if key in settings]
    if len(keys) != 1:
        return None
    key_value = settings[keys[0]]
    pod_hash = PodHash("source", "maglev" in settings, _read_size(value), at=key_value.at)
    if keys[0] == "useSourceIp":
        return pod_hash if key_value.content is True else None
    if keys[0] == "httpCookie":
        return _read_cookie(key_value, pod_hash)
    name = read_text(key_value)
    if not name:
        return None
    if keys[0] == "httpHeaderName":
        return replace(pod_hash, kind="header", name=name.lower())
    return replace(pod_hash, kind="query", name=name)


def _read_cookie(cookie: Value, pod_hash: PodHash) -> PodHash | None:
    """Return the hash of a cookie, None without its name."""
    name = read_text(get_value(cookie, "name"))
    if not name:
        return None
    ttl = get_value(cookie, "ttl")
    seconds = parse_duration(read_text(ttl)) if ttl is not None else None
    path = read_text(get_value(cookie, "path"))
    return replace(pod_hash, kind="cookie", name=name, ttl=seconds, cookie_path=path)


def _read_size(value: Value) -> int:
    """Return how many entries the table of a hash has at least, 0 if it is not said."""
    paths = (("maglev", "tableSize"), ("ringHash", "minimumRingSize"), ("minimumRingSize",))
    sizes = (read_number(size) for path in paths for size in find_values(value, *path))
    return next(sizes, 0)
