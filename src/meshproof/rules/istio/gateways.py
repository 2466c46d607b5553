"""Makes gateways of the model from Istio's Gateways."""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.documents.problems import CheckedDocument, read_valid
from meshproof.inventory import gateways as inventory
from meshproof.rules.model import Gateway, Server


def read_gateways(documents: Iterable[CheckedDocument]) -> tuple[Gateway, ...]:
    """Return the gateways in documents of Istio's kind that have no problem."""
    return tuple(
        Gateway(
            gateway.name,
            tuple(Server(server.number, server.hosts) for server in gateway.servers),
            gateway.document.at,
            created=gateway.document.created,
        )
        for gateway in read_valid(documents, inventory.read_gateways)
    )
