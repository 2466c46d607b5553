"""Match on a claim that nobody checks."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH, ROOT_NAMESPACE
from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, Workload, find_values, read_spec, read_text
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0307"

_CLAIM = "header @request.auth.claims"


def check(project: Project) -> Iterator[Hit]:
    """Report each match on a claim where no token is checked before."""
    for table in read_route_tables(project):
        if table.dialect != "VirtualService":
            continue
        for route in table.routes:
            for one in (one for match in route.matches for one in match.conditions):
                said, repair = _wrong(project, table) if one.part.startswith(_CLAIM) else ("", "")
                if said:
                    yield Hit(one.at, f"{route.name}: {said}", repair)


def _wrong(project: Project, table: RouteTable) -> tuple[str, str]:
    names = [one.full_name for one in table.gateways]
    if all(name == MESH for name in names):
        said = "claims are matched at gateways only, and this rule is for sidecars"
        return said, "spec.gateways: the gateway that the requests come in by"
    around = read_inventory(project)
    policies = project.named_documents("RequestAuthentication")
    for name in names:
        way = around.gateways.get(name)
        workloads = around.select_workloads(way.selector) if way is not None else []
        if workloads and not any(_is_for(one, each) for one in policies for each in workloads):
            return f"no RequestAuthentication is for gateway {name}", "a RequestAuthentication"
    return "", ""


def _is_for(policy: Document, workload: Workload) -> bool:
    if policy.namespace not in (ROOT_NAMESPACE, workload.document.namespace):
        return False
    found = find_values(read_spec(policy), "selector", "matchLabels")
    content = found[0].content if found and isinstance(found[0].content, dict) else {}
    return workload.is_selected_by(tuple((key, read_text(one)) for key, one in content.items()))
