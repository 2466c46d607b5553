"""Arm that takes everything before others.

An arm without match, or with `prefix: /` or `regex: .*`, takes every request; what stands after it
is never asked. It belongs to the end.

Why: this is the most frequent way in which a canary gets no traffic: the new arm was added below
the one that was there.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /
        route:
        - destination:
            host: reviews
      - match:
        - uri:
            prefix: /new
        route:
        - destination:
            host: reviews-new

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /new
        route:
        - destination:
            host: reviews-new
      - match:
        - uri:
            prefix: /
        route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Arm
from meshproof.lint.model.route_tables import routes

CODE = "MP0304"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report the first arm that takes everything where others follow."""
    for route in routes(project):
        for protocol in ("http", "tls", "tcp"):
            arms = route.of(protocol)
            first = next((arm for arm in arms if arm.takes_all), None)
            if first is None or not route.in_order:
                continue
            after = [arm for arm in arms[arms.index(first) + 1 :] if first.is_before(arm)]
            if after:
                yield _hit(first, after, route.dialect == "RouteRule")


def _hit(first: Arm, after: list[Arm], by_precedence: bool) -> Hit:
    match = next(one for one in first.matches if one.sure and not one.conditions)
    one_file = {arm.value.at.file for arm in after} == {first.value.at.file}
    places = [str(arm.value.at.line if one_file else arm.value.at) for arm in after]
    where = ("line " if len(after) == 1 else "lines ") if one_file else ""
    where += ", ".join(places[:5]) + (", ..." if len(after) > 5 else "")
    names = f"{after[0].name} ({where}) is"
    if len(after) > 1:
        names = f"the {len(after)} arms after it ({where}) are"
    lowest = min(arm.order for arm in after)
    repair = f"a precedence below {lowest}" if by_precedence else "move it to the end"
    return Hit(match.at, f"{first.name} takes every request: {names} never reached", repair)
