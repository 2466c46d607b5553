"""How clients outside speak TLS with the gateways of a mesh on this machine."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from meshproof.mesh.envoy.certificates import Authority, Identity
from meshproof.mesh.protocol import Address, TlsClient
from meshproof.oracle.conditions import TlsCall


class TlsClients:
    """Clients that take the certificates of one authority, and show its own where asked."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def at(self, address: Address, tls: TlsCall | None) -> Address:
        """Return the address of a gateway for a call that speaks TLS so, or none at all."""
        if tls is None:
            return address
        own = self._certificate if tls.shows_certificate else None
        ca = self._authority.certificate
        client = TlsClient(tls.name, ca, own.chain if own else None, own.key if own else None)
        return replace(address, tls_client=client)

    @cached_property
    def _certificate(self) -> Identity:
        """The certificate that clients show where a gateway asks for one."""
        return self._authority.issue_for_names("outside-client", ["client.example"])
