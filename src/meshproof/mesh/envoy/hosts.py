"""Hosts with wildcards, as gateways and rules name them: which of them have requests in common.

Source: Istio reference, Gateway (Server.hosts).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable


def common_hosts(wanted: Iterable[str], served: Iterable[str]) -> list[str]:
    """Return the hosts that both name: of two where one is within the other, the narrower."""
    pairs = itertools.product(wanted, dict.fromkeys(served))
    common = [one if _within(one, two) else two for one, two in pairs if _overlap(one, two)]
    return list(dict.fromkeys(common))


def _overlap(one: str, two: str) -> bool:
    return _within(one, two) or _within(two, one)


def _within(host: str, other: str) -> bool:
    """Say whether `other` is `host`, or a wildcard (`*`, `*.example.com`) that takes it."""
    return host == other or (other.startswith("*") and host.endswith(other[1:]))
