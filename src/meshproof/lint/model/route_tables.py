"""The routes of all documents, in whatever dialect each is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import gateway_api_routes, istio_routes, route_rule_routes
from meshproof.lint.model.route import Route, RouteTable, Target


@lru_cache(maxsize=2)
def tables(project: Project) -> tuple[RouteTable, ...]:
    """Return every route, read once for all checks of a project."""
    return tuple(
        table
        for dialect in (istio_routes, route_rule_routes, gateway_api_routes)
        for table in dialect.read(project)
    )


def targets(project: Project) -> Iterator[tuple[RouteTable, Route, Target]]:
    """Yield every destination and mirror with its table and route."""
    for table in tables(project):
        for route in table.routes:
            for target in (*route.targets, *route.mirrors):
                yield table, route, target
