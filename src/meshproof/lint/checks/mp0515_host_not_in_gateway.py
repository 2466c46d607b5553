"""Host that the gateway does not serve."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH, is_host_within
from meshproof.documents.lookup import read_text
from meshproof.documents.schema import find_closest_word
from meshproof.inventory import Inventory
from meshproof.inventory.gateways import Gateway
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import Reference

CODE = "MP0515"


def check(project: Project) -> Iterator[Hit]:
    """Report each host and each listener of a rule that its gateway does not have."""
    inventory = project.inventory
    for table in read_route_tables(project):
        yield from _check_hosts(inventory, table)
        for reference in table.gateways:
            if (gateway := inventory.gateways.get(reference.full_name)) is not None:
                yield from _check_listener(reference, gateway)


def _check_hosts(inventory: Inventory, table: RouteTable) -> Iterator[Hit]:
    """Report each host that no gateway of a rule serves, and a gateway that serves none of them.

    One host of several may be for another gateway, which is here or not.
    """
    names = [reference.full_name for reference in table.gateways if reference.full_name != MESH]
    gateways = [gateway for name in names if (gateway := inventory.gateways.get(name)) is not None]
    served_hosts = {
        gateway.name: [
            host
            for server in gateway.servers
            for host in server.hosts_for(table.document.namespace)
        ]
        for gateway in gateways
        if _is_complete(gateway)
    }
    all_hosts = [host for hosts in served_hosts.values() for host in hosts]
    knows_all = len(served_hosts) == len(names)
    for gateway in gateways:
        hosts = served_hosts.get(gateway.name)
        if hosts is None:
            continue
        unserved = [host for host in table.hosts if not _is_served(host, hosts)]
        if len(unserved) < len(table.hosts):
            is_open = knows_all and not table.applies_to_mesh
            unserved = [host for host in unserved if is_open and not _is_served(host, all_hosts)]
        yield from (_build_hit(host, gateway, hosts) for host in unserved)


def _is_complete(gateway: Gateway) -> bool:
    """Say whether all of a gateway's servers could be read."""
    return bool(gateway.servers) and all(
        server.hosts and all(server.hosts) for server in gateway.servers
    )


def _is_served(host: Reference, hosts: list[str]) -> bool:
    """Say whether a host of the gateway covers the rule's host, or the other way round."""
    return any(
        is_host_within(name, served_host) or is_host_within(served_host, name)
        for name in (host.source_text, host.full_name)
        for served_host in hosts
    )


def _build_hit(host: Reference, gateway: Gateway, hosts: list[str]) -> Hit:
    served_hosts = ", ".join(dict.fromkeys(hosts)) or "nothing of this namespace"
    return Hit(
        host.at,
        f"gateway {gateway.name} ({format_place(gateway.document.at, host.at)}) does not serve "
        f"{host.source_text}, it serves {served_hosts}",
        find_closest_word(host.source_text, hosts, 0.8)
        or f"add {host.source_text} to the hosts of a server",
    )


def _check_listener(reference: Reference, gateway: Gateway) -> Iterator[Hit]:
    """Report the sectionName of a parentRef that is no listener of its gateway."""
    section = read_text(reference.section)
    names = [server.name for server in gateway.servers]
    if reference.section is not None and section and section not in names:
        yield Hit(
            reference.section.at,
            f"gateway {gateway.name} has no listener '{section}'",
            find_closest_word(section, names) or f"one of {', '.join(names)}",
        )
