"""Rule that a gateway passes by."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0517"


def check(project: Project) -> Iterator[Hit]:
    """Report each destination of a gateway's rule that another rule chooses versions of."""
    choosing: dict[str, RouteTable] = {}
    for table in read_route_tables(project):
        if table.dialect == "VirtualService" and all(
            one.full_name == "mesh" for one in table.gateways
        ):
            for host in table.hosts:
                if _chooses(table, host.full_name):
                    choosing.setdefault(host.full_name, table)
    for table in read_route_tables(project):
        if table.dialect != "VirtualService" or table.applies_to_mesh:
            continue
        for route in table.routes_of("http"):
            for target in route.destinations:
                other = choosing.get(target.host)
                if other is not None and target.subset is None:
                    place = format_place(other.document.at, target.at)
                    yield Hit(
                        target.at,
                        f"{route.name} sends to all versions of {target.source_text}: VirtualService "
                        f"'{other.document.name}' ({place}) is for sidecars only",
                        f"subset: NAME, or the routes of '{other.document.name}' here too",
                    )


def _chooses(table: RouteTable, host: str) -> bool:
    """Say whether a rule sends to a subset of its own host."""
    targets = [target for route in table.routes_of("http") for target in route.destinations]
    return any(one.host == host and one.subset is not None for one in targets)
