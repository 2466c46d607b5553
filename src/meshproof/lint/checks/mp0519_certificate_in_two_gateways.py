"""Certificate that two gateways share."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, read_text
from meshproof.lint.model.inventory import Gateway, Server, read_inventory
from meshproof.lint.model.route import format_place

CODE = "MP0519"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two gateways of the same proxies that have one certificate."""
    held: dict[tuple[str, ...], list[tuple[Gateway, Server]]] = {}
    for way in read_inventory(project).gateways.values():
        for server in way.servers if way.is_istio and way.selector else ():
            certificate = _certificate(server)
            earlier = held.setdefault(certificate, []) if certificate else []
            for other, first in earlier:
                if other is not way and way.shares_proxies_with(other):
                    at = server.tls.at if server.tls is not None else server.at
                    yield Hit(
                        at,
                        f"the certificate {certificate[0]} is that of gateway {other.name}, too "
                        f"({format_place(first.at, at)})",
                        "one gateway with the hosts of both, or a certificate for each",
                    )
                    break
            earlier.append((way, server))


def _certificate(server: Server) -> tuple[str, ...]:
    """Return what names a certificate: a secret, or two files; nothing where there is none."""
    content = server.tls.content if server.tls is not None else None
    if not isinstance(content, dict):
        return ()
    secret = read_text(content.get("credentialName"))
    files = read_text(content.get("serverCertificate")), read_text(content.get("privateKey"))
    return (secret,) if secret else files if all(files) else ()
