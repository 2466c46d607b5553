"""Fault for every request.

A route injects a delay or an error into 100 % of its requests, and no header, query or source label
sets them apart from those of ordinary users.

Why: it is what a chaos test leaves behind. Everything is healthy, and everyone gets 500 or waits.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: ratings
    spec:
      hosts:
      - ratings
      http:
      - fault:
          abort:
            percentage:
              value: 100
            httpStatus: 500
        route:
        - destination:
            host: ratings

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: ratings
    spec:
      hosts:
      - ratings
      http:
      - match:
        - headers:
            end-user:
              exact: burr
        fault:
          abort:
            percentage:
              value: 100
            httpStatus: 500
        route:
        - destination:
            host: ratings
      - route:
        - destination:
            host: ratings
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values
from meshproof.lint.model.route import Match, Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0602"
LEVEL = Level.WARNING

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
