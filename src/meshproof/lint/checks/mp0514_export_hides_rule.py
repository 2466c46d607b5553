"""exportTo that hides the rule."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.inventory import Inventory, read_inventory
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.lint.model.virtual_service_routes import read_gateways

CODE = "MP0514"


def check(project: Project) -> Iterator[Hit]:
    """Report each exportTo that leaves out all who need the rule, as far as they are here."""
    around = read_inventory(project)
    for document in project.named_documents(
        "VirtualService", "DestinationRule", group="networking.istio.io"
    ):
        names = find_values(read_spec(document), "exportTo")
        seen = {document.namespace if read_text(one) == "." else read_text(one) for one in names}
        if not names or "*" in seen:
            continue
        needed = sorted(_needed(project, around, document))
        if needed and seen.isdisjoint(needed):
            listed = " and ".join(needed[:3])
            yield Hit(
                _list(document).at,
                f"{document.kind} '{document.name}' is seen in {', '.join(sorted(seen))} only, "
                f"and used in {listed}",
                f"add {listed}, or leave exportTo out: then all see it",
            )


def _list(document: Document) -> Value:
    found = read_spec(document)
    return found.mapping()["exportTo"] if found is not None else document.root


def _needed(project: Project, around: Inventory, document: Document) -> set[str]:
    """Return the namespaces whose proxies use a rule, empty where that is not known."""
    if document.kind == "DestinationRule":
        return _users(project, around, document)
    names = list(read_gateways(find_values(read_spec(document), "gateways"), document.namespace))
    if not names or any(one.full_name == MESH for one in names):
        return around.list_workload_namespaces()
    found: set[str] = set()
    for one in names:
        way = around.gateways.get(one.full_name)
        workloads = around.select_workloads(way.selector) if way is not None else []
        found |= {workload.document.namespace for workload in workloads}
        if not workloads:
            found.add(one.full_name.partition("/")[0])
    return found


def _users(project: Project, around: Inventory, document: Document) -> set[str]:
    """Return the namespaces of the gateways whose rules send to a DestinationRule's host."""
    hosts = {one.host for one in around.destination_rules if one.document is document}
    found: set[str] = set()
    for table in read_route_tables(project):
        if table.dialect != "VirtualService" or not table.gateways:
            continue
        sent = {target.host for route in table.routes for target in route.destinations}
        if not hosts & sent:
            continue
        if table.applies_to_mesh:
            return set()
        found |= {name.full_name.partition("/")[0] for name in table.gateways}
    return found
