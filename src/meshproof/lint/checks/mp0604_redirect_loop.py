"""Redirect that comes back."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.redirects import find_redirect_loop, read_redirect
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0604"


def check(project: Project) -> Iterator[Hit]:
    """Report each redirect that leads back to itself."""
    around = read_inventory(project)
    for table in read_route_tables(project):
        told: set[int] = set()
        for route in table.routes_of("http"):
            found = read_redirect(route)
            way = (
                find_redirect_loop(table, route, around)
                if found is not None and route.is_fully_read
                else []
            )
            if found is None or not way or any(id(one) in told for one, _ in way):
                continue
            told.update(id(one) for one, _ in way)
            steps = " -> ".join(place for _, place in way)
            yield Hit(
                found.value.at,
                f"{route.name}: the redirect leads back to itself: {steps}",
                "a match that leaves the new place out, or a route for it before this one",
            )
