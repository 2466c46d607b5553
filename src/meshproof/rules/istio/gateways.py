"""Makes gateways of the model from Istio's Gateways."""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.documents.manifest import Document
from meshproof.inventory import gateways as inventory
from meshproof.inventory.problems import raise_first_problem
from meshproof.rules.model import Gateway, Server


def read_gateways(documents: Iterable[Document]) -> tuple[Gateway, ...]:
    """Return the gateways in documents of Istio's kind.

    Raises BadRules with file and line for one that is wrong or not supported.
    """
    gateways = inventory.read_gateways(documents)
    raise_first_problem(gateways)
    return tuple(
        Gateway(
            gateway.name,
            tuple(Server(server.number, server.hosts) for server in gateway.servers),
            gateway.document.at,
        )
        for gateway in gateways
    )
