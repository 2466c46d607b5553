"""Condition on the caller that Istio ignores."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, get_value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0308"

_CALLER_KEYS = ("sourceLabels", "sourceNamespace")


def check(project: Project) -> Iterator[Hit]:
    """Report each condition on the caller beside `gateways` (istiod, sourceMatchHTTP)."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for match in find_values(route.value, "match"):
                if not find_values(match, "gateways"):
                    continue
                for key in _CALLER_KEYS:
                    if (condition := get_value(match, key)) is not None:
                        yield Hit(
                            condition.at,
                            f"{route.name}: Istio ignores {key} in a match that names gateways",
                            f"two matches: one with gateways, one with {key}",
                        )
