"""Fault without a percentage."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0607"


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of a VirtualService that no request gets."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for name in ("delay", "abort"):
                for fault in find_values(route.value, "fault", name):
                    content = fault.content if isinstance(fault.content, dict) else {}
                    percentages = [
                        *find_values(fault, "percentage", "value"),
                        *find_values(fault, "percent"),
                    ]
                    percentage_keys = [key for key in content if key in ("percentage", "percent")]
                    if (
                        content
                        and not percentages
                        and (not percentage_keys or percentage_keys == ["percentage"])
                    ):
                        message = f"{route.name}: the {name} has no percentage: no request gets it"
                        yield Hit(fault.at, message, "percentage: {value: 10}")
