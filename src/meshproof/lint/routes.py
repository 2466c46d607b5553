"""The routes of all documents, in whatever dialect each is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from meshproof.lint import arms_of_gateway_api, arms_of_istio, arms_of_routerule
from meshproof.lint.arms import Arm, Route, Target
from meshproof.lint.project import Project


@lru_cache(maxsize=2)
def routes(project: Project) -> tuple[Route, ...]:
    """Return every route, read once for all checks of a project."""
    return tuple(
        route
        for dialect in (arms_of_istio, arms_of_routerule, arms_of_gateway_api)
        for route in dialect.read(project)
    )


def targets(project: Project) -> Iterator[tuple[Route, Arm, Target]]:
    """Yield every destination and mirror with its route and arm."""
    for route in routes(project):
        for arm in route.arms:
            for target in (*arm.targets, *arm.mirrors):
                yield route, arm, target
