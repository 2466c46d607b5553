"""Rule that a gateway passes by."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0517"


def check(project: Project) -> Iterator[Hit]:
    """Report each destination of a gateway's rule whose subsets only a rule of sidecars chooses."""
    choosing_tables: dict[str, RouteTable] = {}
    for table in read_route_tables(project):
        is_for_sidecars_only = all(gateway.full_name == MESH for gateway in table.gateways)
        if table.dialect == "VirtualService" and is_for_sidecars_only:
            for host in table.hosts:
                if _chooses_subset(table, host.full_name):
                    choosing_tables.setdefault(host.full_name, table)
    for table in read_route_tables(project):
        if table.dialect != "VirtualService" or table.applies_to_mesh:
            continue
        for route in table.routes_of("http"):
            for destination in route.destinations:
                choosing_table = choosing_tables.get(destination.host)
                if choosing_table is not None and destination.subset is None:
                    name = choosing_table.document.name
                    location = format_place(choosing_table.document.at, destination.at)
                    yield Hit(
                        destination.at,
                        f"{route.name} sends to all versions of {destination.source_text}: "
                        f"VirtualService '{name}' ({location}) is for sidecars only",
                        f"subset: NAME, or the routes of '{name}' here too",
                    )


def _chooses_subset(table: RouteTable, host: str) -> bool:
    """Say whether a rule sends to a subset of its own host."""
    destinations = [
        destination for route in table.routes_of("http") for destination in route.destinations
    ]
    return any(
        destination.host == host and destination.subset is not None for destination in destinations
    )
