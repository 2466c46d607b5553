"""Sidecar that hides a host from its callers."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import is_host_within, is_service
from meshproof.inventory.index import namespace_of
from meshproof.inventory.sidecars import Import, Sidecar, read_sidecars
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import Reference

CODE = "MP0529"


def check(project: Project) -> Iterator[Hit]:
    """Report each host that a VirtualService routes and the callers of its namespace do not see.

    Only the Sidecar for all of a namespace counts: others are for some callers.
    """
    documents = project.named_documents("Sidecar", group="networking.istio.io")
    sidecars = {
        sidecar.document.namespace: sidecar
        for sidecar in read_sidecars(documents)
        if sidecar.listeners and not sidecar.selector and not sidecar.problems
    }
    for table in read_route_tables(project) if sidecars else ():
        sidecar = sidecars.get(table.document.namespace)
        if sidecar is not None and table.dialect == "VirtualService" and table.applies_to_mesh:
            yield from _check_hosts(sidecar, table)


def _check_hosts(sidecar: Sidecar, table: RouteTable) -> Iterator[Hit]:
    """Report each service among the hosts of a rule that a Sidecar of its namespace hides."""
    for host in table.hosts:
        if not is_service(host.full_name) or _shows(sidecar, host):
            continue
        service_namespace, namespace = namespace_of(host.full_name), table.document.namespace
        entry = "." if service_namespace == namespace else service_namespace
        name, place = sidecar.document.name, format_place(sidecar.document.at, host.at)
        yield Hit(
            host.at,
            f"callers of namespace {namespace} do not see {host.source_text}: Sidecar '{name}' "
            f"({place}) hides it",
            f"\"{entry}/*\" among the egress hosts of Sidecar '{name}'",
        )


def _shows(sidecar: Sidecar, host: Reference) -> bool:
    """Say whether a Sidecar imports a host: its service, or the rule of its own namespace."""
    own_namespace = sidecar.document.namespace
    namespaces = {"*", ".", own_namespace, namespace_of(host.full_name)}
    imports = [entry for listener in sidecar.listeners for entry in listener.imports]
    return any(
        entry.namespace in namespaces and not entry.is_excluded and _covers(entry, host)
        for entry in imports
    )


def _covers(entry: Import, host: Reference) -> bool:
    return entry.host == "*" or is_host_within(host.full_name, entry.host)
