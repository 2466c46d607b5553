"""Short host of another namespace."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.index import namespace_of
from meshproof.lint.checks.mp0507_host_without_service import (
    find_host_elsewhere,
    list_mentioned_hosts,
)
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import Reference

CODE = "MP0508"


def check(project: Project) -> Iterator[Hit]:
    """Report each host that is no service in its own namespace, and one in another."""
    inventory = project.inventory
    for reference, kind, rule_namespace in _list_hosts(project) if inventory.namespaces else ():
        host = reference.full_name
        if host.startswith("*") or inventory.has_host(host, rule_namespace):
            continue
        meant_host = find_host_elsewhere(inventory, reference)
        if meant_host:
            message = f"'{reference.source_text}' means {host} here, which no service is"
            takes_namespace = kind in ("HTTPRoute", "GRPCRoute", "RouteRule")
            repair = f"namespace: {namespace_of(meant_host)}" if takes_namespace else meant_host
            yield Hit(reference.at, message, repair)


def _list_hosts(project: Project) -> Iterator[tuple[Reference, str, str]]:
    """Yield the hosts of MP0507, and those that a VirtualService of sidecars is for."""
    yield from list_mentioned_hosts(project)
    for table in read_route_tables(project):
        if table.dialect == "VirtualService" and table.applies_to_mesh:
            for host in table.hosts:
                yield host, table.dialect, table.document.namespace
