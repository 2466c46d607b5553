"""Fault for every request."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values
from meshproof.lint.model.route import Match, Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0602"

_CHOSEN = ("header ", "query ", "source ")


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of 100 % in a route that ordinary requests get to."""
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            if any(match.is_fully_read and not _chosen(match) for match in route.matches):
                for name, share in shares(route):
                    if share.content == 100 and not isinstance(share.content, bool):
                        said = f"{route.name}: the {name} holds for every request"
                        yield Hit(share.at, said, "a match on the tester's header, or no fault")


def _chosen(match: Match) -> bool:
    return any(one.part.startswith(_CHOSEN) for one in match.conditions)


def shares(route: Route) -> Iterator[tuple[str, Value]]:
    """Yield the percentages of a route's faults, each with its sort (delay, abort)."""
    for key in ("fault", "httpFault"):
        for name in ("delay", "abort"):
            for fault in find_values(route.value, key, name):
                for way in (("percentage", "value"), ("percent",)):
                    for share in find_values(fault, *way):
                        yield name, share
