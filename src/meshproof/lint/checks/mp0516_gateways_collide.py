"""Two gateways that claim the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from meshproof.inventory.gateways import Gateway, Server
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place

CODE = "MP0516"

_TLS = ("HTTPS", "TLS")
_HTTP = ("GRPC", "GRPC-WEB", "HTTP", "HTTP2", "HTTP_PROXY")


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two servers that cannot both be on one port of the same proxies."""
    claims: dict[int, list[tuple[Gateway, Server]]] = {}
    for gateway in project.inventory.gateways.values():
        for server in gateway.servers if gateway.is_istio and gateway.selector else ():
            claims.setdefault(server.number, []).append((gateway, server))
    for number, rivals in claims.items():
        reported: set[int] = set()
        for first, second in combinations(rivals, 2):
            (first_gateway, first_server), (second_gateway, second_server) = first, second
            if id(second_server) in reported:
                continue
            collision = _describe_collision(first_server, second_server)
            if collision and first_gateway.shares_proxies_with(second_gateway):
                reported.add(id(second_server))
                yield Hit(
                    second_server.at,
                    f"port {number} is taken by gateway {first_gateway.name} "
                    f"({format_place(first_server.at, second_server.at)}): {collision}",
                    "another port, or both in one gateway",
                )


def _describe_collision(first: Server, second: Server) -> str:
    """Return why two servers cannot be on one port, or ""."""
    if not (first.protocol and second.protocol):
        return ""
    if _classify_protocol(first) != _classify_protocol(second):
        return f"{first.protocol} there, {second.protocol} here"
    shared = set(first.hosts) & set(second.hosts)
    if first.protocol in _TLS and shared:
        return f"TLS for host {min(shared)} there, too"
    return ""


def _classify_protocol(server: Server) -> str:
    if server.protocol in _TLS:
        return "tls"
    return "http" if server.protocol in _HTTP else server.protocol
