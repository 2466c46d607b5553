"""The routes of all documents, in whatever dialect each is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import gateway_api_routes, istio_routes, route_rule_routes
from meshproof.lint.model.route import Arm, Route, Target


@lru_cache(maxsize=2)
def routes(project: Project) -> tuple[Route, ...]:
    """Return every route, read once for all checks of a project."""
    return tuple(
        route
        for dialect in (istio_routes, route_rule_routes, gateway_api_routes)
        for route in dialect.read(project)
    )


def targets(project: Project) -> Iterator[tuple[Route, Arm, Target]]:
    """Yield every destination and mirror with its route and arm."""
    for route in routes(project):
        for arm in route.arms:
            for target in (*arm.targets, *arm.mirrors):
                yield route, arm, target
