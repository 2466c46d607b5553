"""Whether callers speak TLS to a host outside: as its DestinationRule says.

Source: Istio reference, DestinationRule (TrafficPolicy.tls, portLevelSettings).
"""

from __future__ import annotations

from meshproof.base.names import is_service
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.oracle import hosts

#: The modes in which a proxy makes TLS of what it gets.
_ORIGINATING = ("SIMPLE", "MUTUAL")


def lacks_tls(known_hosts: KnownHosts, host: str, port: int) -> bool:
    """Say whether plain HTTP is sent to a port of a host outside at which TLS is spoken."""
    if is_service(host) or port not in known_hosts.tls_ports.get(host, ()):
        return False
    rule_hosts = (name for name in known_hosts.subsets if hosts.covers(name, host))
    narrowest = max(rule_hosts, key=_rank_host, default="")
    own = [item for item in known_hosts.tls_settings if item.host == narrowest]
    of_port = [item for item in own if item.port == port]
    of_all = [item for item in own if item.port is None and port not in item.overridden_ports]
    return not any(item.mode in _ORIGINATING for item in (of_port or of_all)[:1])


def _rank_host(host: str) -> tuple[bool, int]:
    """Return the rank of the host of a DestinationRule: the narrowest is the highest."""
    return not host.startswith("*"), len(host)
