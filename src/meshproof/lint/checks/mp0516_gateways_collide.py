"""Two gateways that claim the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Gateway, Server, read_inventory
from meshproof.lint.model.route import format_place

CODE = "MP0516"

_TLS = ("HTTPS", "TLS")
_HTTP = ("GRPC", "GRPC-WEB", "HTTP", "HTTP2", "HTTP_PROXY")


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two servers that cannot both be on one port of the same proxies."""
    claims: dict[int, list[tuple[Gateway, Server]]] = {}
    for way in read_inventory(project).gateways.values():
        for server in way.servers if way.is_istio and way.selector else ():
            claims.setdefault(server.number, []).append((way, server))
    for number, rivals in claims.items():
        told: set[int] = set()
        for (one, first), (other, second) in combinations(rivals, 2):
            if id(second) in told or not one.shares_proxies_with(other):
                continue
            said = _collision(first, second)
            if said:
                told.add(id(second))
                yield Hit(
                    second.at,
                    f"port {number} is taken by gateway {one.name} "
                    f"({format_place(first.at, second.at)}): {said}",
                    "another port, or both in one gateway",
                )


def _collision(first: Server, second: Server) -> str:
    if not (first.protocol and second.protocol):
        return ""
    if _family(first) != _family(second):
        return f"{first.protocol} there, {second.protocol} here"
    shared = set(first.hosts) & set(second.hosts)
    if first.protocol in _TLS and shared:
        return f"TLS for host {min(shared)} there, too"
    return ""


def _family(server: Server) -> str:
    if server.protocol in _TLS:
        return "tls"
    return "http" if server.protocol in _HTTP else server.protocol
