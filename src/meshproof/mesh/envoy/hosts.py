"""Intersect the hosts of gateways and rules, which may have wildcards.

Source: Istio reference, Gateway (Server.hosts).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable


def intersect_hosts(hosts: Iterable[str], served: Iterable[str]) -> list[str]:
    """Return the hosts that both sides cover; of a host and its wildcard, the narrower."""
    pairs = itertools.product(hosts, dict.fromkeys(served))
    common = [
        host if is_within(host, other_host) else other_host
        for host, other_host in pairs
        if _do_overlap(host, other_host)
    ]
    return list(dict.fromkeys(common))


def _do_overlap(first: str, second: str) -> bool:
    """Say whether one of two hosts is within the other."""
    return is_within(first, second) or is_within(second, first)


def is_within(host: str, pattern: str) -> bool:
    """Say whether `pattern` is `host`, or a wildcard (`*`, `*.example.com`) that covers it."""
    return host == pattern or (pattern.startswith("*") and host.endswith(pattern[1:]))
