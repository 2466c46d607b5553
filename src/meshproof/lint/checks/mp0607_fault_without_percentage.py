"""Fault without a percentage."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0607"


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of a VirtualService that no request gets."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for fault in route.actions.faults:
                if fault.value.content and fault.share is None:
                    yield Hit(
                        fault.value.at,
                        f"{route.name}: the {fault.kind} has no percentage: no request gets it",
                        "percentage: {value: 10}",
                    )
