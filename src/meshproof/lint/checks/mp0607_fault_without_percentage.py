"""Fault without a percentage."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0607"


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of a VirtualService that no request gets."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for fault_type in ("delay", "abort"):
                for fault in find_values(route.value, "fault", fault_type):
                    if _lacks_percentage(fault):
                        yield Hit(
                            fault.at,
                            f"{route.name}: the {fault_type} has no percentage: no request gets it",
                            "percentage: {value: 10}",
                        )


def _lacks_percentage(fault: Value) -> bool:
    """Say whether a fault has neither `percent` nor a value in `percentage`."""
    content = fault.content if isinstance(fault.content, dict) else {}
    if find_values(fault, "percentage", "value"):
        return False
    return bool(content) and "percent" not in content
