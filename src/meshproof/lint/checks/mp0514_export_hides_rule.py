"""exportTo that hides the rule."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.inventory import Inventory
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.istio.written import read_gateways

CODE = "MP0514"


def check(project: Project) -> Iterator[Hit]:
    """Report each exportTo that hides a rule from all namespaces that are known to need it."""
    inventory = project.inventory
    for document in project.named_documents(
        "VirtualService", "DestinationRule", group="networking.istio.io"
    ):
        export_names = find_values(read_spec(document), "exportTo")
        visible_in = {
            document.namespace if read_text(name) == "." else read_text(name)
            for name in export_names
        }
        if not export_names or "*" in visible_in:
            continue
        needed = sorted(_find_needed_namespaces(project, inventory, document))
        if needed and visible_in.isdisjoint(needed):
            users = " and ".join(needed[:3])
            yield Hit(
                _get_export_to(document).at,
                f"{document.kind} '{document.name}' is seen in {', '.join(sorted(visible_in))} "
                f"only, and used in {users}",
                f"add {users}, or leave exportTo out: then all see it",
            )


def _get_export_to(document: Document) -> Value:
    """Return the value of a rule's exportTo."""
    spec = read_spec(document)
    return spec.mapping()["exportTo"] if spec is not None else document.root


def _find_needed_namespaces(project: Project, inventory: Inventory, document: Document) -> set[str]:
    """Return the namespaces whose proxies use a rule, empty where that is not known."""
    if document.kind == "DestinationRule":
        return _find_using_namespaces(project, inventory, document)
    references = list(
        read_gateways(find_values(read_spec(document), "gateways"), document.namespace)
    )
    if not references or any(reference.full_name == MESH for reference in references):
        return inventory.list_workload_namespaces()
    namespaces: set[str] = set()
    for reference in references:
        gateway = inventory.gateways.get(reference.full_name)
        workloads = inventory.select_workloads(gateway.selector) if gateway is not None else []
        namespaces |= {workload.document.namespace for workload in workloads}
        if not workloads:
            namespaces.add(reference.full_name.partition("/")[0])
    return namespaces


def _find_using_namespaces(project: Project, inventory: Inventory, document: Document) -> set[str]:
    """Return the namespaces of the gateways whose rules send to a DestinationRule's host."""
    hosts = {rule.host for rule in inventory.destination_rules if rule.document is document}
    namespaces: set[str] = set()
    for table in read_route_tables(project):
        if table.dialect != "VirtualService" or not table.gateways:
            continue
        destination_hosts = {
            destination.host for route in table.routes for destination in route.destinations
        }
        if not hosts & destination_hosts:
            continue
        if table.applies_to_mesh:
            return set()
        namespaces |= {gateway.full_name.partition("/")[0] for gateway in table.gateways}
    return namespaces
