"""The route tables of all documents, in whatever dialect each is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import gateway_api_routes, route_rule_routes, virtual_service_routes
from meshproof.lint.model.route import Destination, Route, RouteTable


@lru_cache(maxsize=2)
def read_route_tables(project: Project) -> tuple[RouteTable, ...]:
    """Return every route table, read once for all checks of a project."""
    return tuple(
        table
        for dialect in (virtual_service_routes, route_rule_routes, gateway_api_routes)
        for table in dialect.read_tables(project)
    )


def list_destinations(project: Project) -> Iterator[tuple[RouteTable, Route, Destination]]:
    """Yield every destination and mirror with its table and route."""
    for table in read_route_tables(project):
        for route in table.routes:
            for destination in (*route.destinations, *route.mirrors):
                yield table, route, destination
