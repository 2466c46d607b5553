"""Short host of another namespace."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0507_host_without_service import elsewhere, mentioned
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import namespace_of, read_inventory
from meshproof.lint.model.route import Reference
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0508"


def check(project: Project) -> Iterator[Hit]:
    """Report each host that means no service in its place, and one in another namespace."""
    around = read_inventory(project)
    for name, kind, owner in _names(project) if around.namespaces else ():
        if name.full_name.startswith("*") or around.has_host(name.full_name, owner):
            continue
        meant = elsewhere(around, name)
        if meant:
            said = f"'{name.source_text}' means {name.full_name} here, which no service is"
            by_namespace = kind in ("HTTPRoute", "GRPCRoute", "RouteRule")
            yield Hit(name.at, said, f"namespace: {namespace_of(meant)}" if by_namespace else meant)


def _names(project: Project) -> Iterator[tuple[Reference, str, str]]:
    yield from mentioned(project)
    for table in read_route_tables(project):
        if table.dialect == "VirtualService" and table.applies_to_mesh:
            for host in table.hosts:
                yield host, table.dialect, table.document.namespace
