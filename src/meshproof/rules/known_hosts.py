"""Puts rules and inventory together: the ports that rules name, and Sidecars that hide rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshproof.documents.manifest import Document
from meshproof.inventory import Inventory
from meshproof.inventory import sidecars as sidecar_reader
from meshproof.inventory.gateways import ISTIO_GROUP
from meshproof.inventory.known_hosts import KnownHosts, list_known_hosts
from meshproof.inventory.problems import raise_first_problem
from meshproof.inventory.sidecars import Sidecar, read_sidecars
from meshproof.inventory.world import read_world
from meshproof.rules.model import RuleSet


def read_known_hosts(
    documents: Sequence[Document],
    rules: RuleSet,
    unread: Sequence[str] = (),
    unread_workloads: Sequence[str] = (),
) -> KnownHosts:
    """Return what the documents say of each host; `rules` add the ports that they name.

    `unread` and `unread_workloads` are as `World` has them.

    Raises BadRules with file and line for invalid values.
    """
    inventory = Inventory(documents)
    world = read_world(documents, inventory, unread, unread_workloads)
    return list_known_hosts(inventory, world).add_ports(_list_rule_ports(rules))


def read_valid_sidecars(documents: Sequence[Document]) -> tuple[Sidecar, ...]:
    """Return the Sidecars among documents. Raises BadRules with file and line for invalid ones."""
    sidecars = read_sidecars(
        document
        for document in documents
        if (document.kind, document.group) == (sidecar_reader.KIND, ISTIO_GROUP)
    )
    raise_first_problem(sidecars)
    return sidecars


def _list_rule_ports(rules: RuleSet) -> Iterator[tuple[str, int]]:
    """Yield (host, port) for each port that a rule applies to, sends to or matches.

    The hosts of a rule for gateways alone have no ports in the mesh.
    """
    for table in rules.tables:
        mesh_hosts = table.hosts if table.applies_to_mesh else ()
        yield from ((host, port) for host in mesh_hosts for port in table.ports)
        for route in table.routes:
            for target in route.targets:
                if target.port:
                    yield target.host, target.port
            for match in route.matches:
                if match.port:
                    yield from ((host, match.port) for host in mesh_hosts)
