"""Certificate that two gateways share."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.inventory.gateways import Gateway, Server
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place

CODE = "MP0519"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two gateways of the same proxies that have one certificate."""
    servers_by_certificate: dict[tuple[str, ...], list[tuple[Gateway, Server]]] = {}
    for gateway in project.inventory.gateways.values():
        for server in gateway.servers if gateway.is_istio and gateway.selector else ():
            certificate = _identify_certificate(server)
            earlier_servers = (
                servers_by_certificate.setdefault(certificate, []) if certificate else []
            )
            for earlier_gateway, earlier_server in earlier_servers:
                if earlier_gateway is not gateway and gateway.shares_proxies_with(earlier_gateway):
                    at = server.tls.at if server.tls is not None else server.at
                    yield Hit(
                        at,
                        f"the certificate {certificate[0]} is that of gateway "
                        f"{earlier_gateway.name}, too ({format_place(earlier_server.at, at)})",
                        "one gateway with the hosts of both, or a certificate for each",
                    )
                    break
            earlier_servers.append((gateway, server))


def _identify_certificate(server: Server) -> tuple[str, ...]:
    """Return the name of the secret or of the two files of a certificate, () without one."""
    content = server.tls.content if server.tls is not None else None
    if not isinstance(content, dict):
        return ()
    secret = read_text(content.get("credentialName"))
    files = read_text(content.get("serverCertificate")), read_text(content.get("privateKey"))
    return (secret,) if secret else files if all(files) else ()
