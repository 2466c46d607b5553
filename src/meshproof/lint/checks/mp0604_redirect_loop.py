"""Redirect that comes back."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.redirects import find_redirect_loop
from meshproof.lint.model.route import is_fully_read
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0604"


def check(project: Project) -> Iterator[Hit]:
    """Report each redirect that leads back to itself."""
    inventory = project.inventory
    for table in read_route_tables(project):
        reported_routes: set[int] = set()
        for route in table.routes_of("http"):
            redirect = route.actions.redirect
            if redirect is None or not is_fully_read(route):
                continue
            loop = find_redirect_loop(table, route, inventory)
            loop_ids = {id(loop_route) for loop_route, _ in loop}
            if not loop or loop_ids & reported_routes:
                continue
            reported_routes |= loop_ids
            steps = " -> ".join(step for _, step in loop)
            yield Hit(
                redirect.value.at,
                f"{route.name}: the redirect leads back to itself: {steps}",
                "a match that leaves the new place out, or a route for it before this one",
            )
