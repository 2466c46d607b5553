"""Fault for every request."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Match
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0602"

_SELECTIVE_PARTS = ("header ", "query ", "source ")


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of 100 % in a route that ordinary requests take."""
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            if any(match.is_fully_read and not _selects_testers(match) for match in route.matches):
                for fault in route.actions.faults:
                    if fault.share is not None and fault.share.content == 100:
                        message = f"{route.name}: the {fault.kind} holds for every request"
                        repair = "a match on the tester's header, or no fault"
                        yield Hit(fault.share.at, message, repair)


def _selects_testers(match: Match) -> bool:
    """Say whether a match is only for requests with a certain header, query or source."""
    return any(condition.part.startswith(_SELECTIVE_PARTS) for condition in match.conditions)
