"""Two RouteRules of equal precedence."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0211"


def check(project: Project) -> Iterator[Hit]:
    """Report each RouteRule that has the precedence of an earlier one of its destination."""
    for table in read_route_tables(project):
        first_routes: dict[int, Route] = {}
        for route in table.routes if table.dialect == "RouteRule" else ():
            document = route.document
            if project.has_defect_at(document, "spec.precedence"):
                continue
            first_document = first_routes.setdefault(route.precedence, route).document
            if (first_document.namespace, first_document.name) == (
                document.namespace,
                document.name,
            ):
                continue  # the same object, or one that replaces it: MP0209
            yield Hit(
                route.value.keys.get("precedence", document.at),
                f"the precedence of '{document.name}' is {route.precedence}, as that of "
                f"'{first_document.name}' at {first_document.at}: either may win",
                "another precedence: the higher one is asked first",
            )
