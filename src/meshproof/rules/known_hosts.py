"""Puts rules and inventory together: the ports that rules name, and Sidecars that hide a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE
from meshproof.documents.manifest import Document
from meshproof.inventory import Inventory
from meshproof.inventory import sidecars as sidecar_reader
from meshproof.inventory.known_hosts import KnownHosts, list_known_hosts
from meshproof.inventory.problems import raise_first_problem
from meshproof.inventory.sidecars import Sidecar, read_sidecars
from meshproof.inventory.world import read_world
from meshproof.rules.model import RouteTable, RuleSet

#: Sidecar objects in these namespaces apply to the callers.
_CALLER_NAMESPACES = ("default", ROOT_NAMESPACE)


def read_known_hosts(
    documents: Sequence[Document],
    rules: RuleSet,
    unread: Sequence[str] = (),
    unread_workloads: Sequence[str] = (),
) -> KnownHosts:
    """Return what the documents say of each host; `rules` add the ports that they name.

    `unread` and `unread_workloads` are as `World` has them.

    Raises BadRules with file and line for invalid values, and for a Sidecar that hides a rule.
    """
    sidecars = read_sidecars(
        document for document in documents if document.kind == sidecar_reader.KIND
    )
    callers = [sidecar for sidecar in sidecars if sidecar.document.namespace in _CALLER_NAMESPACES]
    raise_first_problem(callers)
    for sidecar in callers:
        _check_visible(sidecar, rules)
    inventory = Inventory(documents)
    world = read_world(documents, inventory, unread, unread_workloads)
    return list_known_hosts(inventory, world).add_ports(_list_rule_ports(rules))


def _check_visible(sidecar: Sidecar, rules: RuleSet) -> None:
    """Raise BadRules if a Sidecar hides the host of a rule from the callers."""
    for table in rules.tables:
        if table.gateways is not None and MESH not in table.gateways:
            continue
        for host in table.hosts:
            if sidecar.egress is not None and not sidecar.shows(host, _find_namespace(host, table)):
                raise sidecar.egress.at.error(
                    f"{sidecar.egress.path}: this Sidecar hides {host} from its callers, so that "
                    f"the rule at {table.at} has no effect"
                )


def _find_namespace(host: str, table: RouteTable) -> str:
    """Return the namespace of a Service's host, that of the rule for any other host."""
    return host.split(".")[1] if host.endswith(CLUSTER_DOMAIN) else table.namespace


def _list_rule_ports(rules: RuleSet) -> Iterator[tuple[str, int]]:
    """Yield (host, port) for each port that a rule applies to, sends to or matches."""
    for table in rules.tables:
        yield from ((host, port) for host in table.hosts for port in table.ports)
        for route in table.routes:
            for target in route.targets:
                if target.port:
                    yield target.host, target.port
            for match in route.matches:
                if match.port:
                    yield from ((host, match.port) for host in table.hosts)
