"""Hosts of gateways and rules: which names they cover, and names that just miss them.

Part of the oracle: nothing here is shared with `mesh/`. Source: Istio reference, Gateway
(Server.hosts): `*` and `*.example.com` are wildcards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from meshproof.oracle.strings import UNMATCHED_VALUE


def covers(pattern: str, host: str) -> bool:
    """Say whether a host, or a wildcard, covers another host or wildcard."""
    return pattern == host or (pattern.startswith("*") and host.endswith(pattern[1:]))


def intersect(first: str, second: str) -> str:
    """Return the narrower host if the other one covers it, else ""."""
    for wide, host in ((first, second), (second, first)):
        if covers(wide, host):
            return host
    return ""


def make_example(host: str) -> str:
    """Return a concrete name that a host with a wildcard covers."""
    if host == "*":
        return f"{UNMATCHED_VALUE}.example"
    return UNMATCHED_VALUE + host[1:] if host.startswith("*") else host


def generate_unnamed(host: str, named_hosts: Collection[str]) -> Iterator[str]:
    """Yield names near `host` that none of `named_hosts` covers: beside it, below it, above it."""
    _, _, domain = host.partition(".")
    if host.startswith("*."):
        candidates = [domain, f"{UNMATCHED_VALUE}-{domain}"]
    else:
        candidates = [f"{UNMATCHED_VALUE}.{domain}", f"{UNMATCHED_VALUE}.{host}"]
    for name in candidates:
        if host != "*" and not any(covers(named, name) for named in named_hosts):
            yield name.rstrip(".")
