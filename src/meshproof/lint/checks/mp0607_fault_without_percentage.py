"""Fault without a percentage.

A delay or an error is described, and how many requests get it is not. Today's Istio then injects it
into none (it was all once).

Why: the chaos test passes since nothing happened.

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
          delay:
            fixedDelay: 5s
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
      - fault:
          delay:
            percentage:
              value: 10
            fixedDelay: 5s
        route:
        - destination:
            host: ratings
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0607"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each fault of a VirtualService that no request gets."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for name in ("delay", "abort"):
                for fault in find_values(route.value, "fault", name):
                    content = fault.content if isinstance(fault.content, dict) else {}
                    shares = [*find_values(fault, "percentage", "value"), *find_values(fault, "percent")]
                    empty = [key for key in content if key in ("percentage", "percent")]
                    if content and not shares and (not empty or empty == ["percentage"]):
                        said = f"{route.name}: the {name} has no percentage: no request gets it"
                        yield Hit(fault.at, said, "percentage: {value: 10}")
