"""Fault for every request."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Match, Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0602"

_SELECTIVE_PARTS = ("header ", "query ", "source ")


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of 100 % in a route that ordinary requests take."""
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            if any(match.is_fully_read and not _selects_testers(match) for match in route.matches):
                for fault_type, percentage in _list_percentages(route):
                    if percentage.content == 100 and not isinstance(percentage.content, bool):
                        message = f"{route.name}: the {fault_type} holds for every request"
                        yield Hit(
                            percentage.at, message, "a match on the tester's header, or no fault"
                        )


def _selects_testers(match: Match) -> bool:
    """Say whether a match is only for requests with a certain header, query or source."""
    return any(condition.part.startswith(_SELECTIVE_PARTS) for condition in match.conditions)


def _list_percentages(route: Route) -> Iterator[tuple[str, Value]]:
    """Yield the percentages of a route's faults, each with its type (delay, abort)."""
    for key in ("fault", "httpFault"):
        for fault_type in ("delay", "abort"):
            for fault in find_values(route.value, key, fault_type):
                for path in (("percentage", "value"), ("percent",)):
                    for percentage in find_values(fault, *path):
                        yield fault_type, percentage
