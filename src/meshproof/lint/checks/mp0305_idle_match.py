"""Match that adds nothing.

The arm has several matches, and another one of them (or an earlier arm) takes every request that
this one takes. The arm itself is still reached.

Why: the rule reads as if it did more than it does. Often one of the two was meant to be another
condition: matches in a list are alternatives, conditions of one match must all hold. So
`- uri: ...` and `- headers: ...` with a dash each is "or", where "and" was meant.

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
            prefix: /api
        - uri:
            prefix: /api
          headers:
            end-user:
              exact: burr
        route:
        - destination:
            host: reviews-new
      - route:
        - destination:
            host: reviews

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
            prefix: /api
          headers:
            end-user:
              exact: burr
        route:
        - destination:
            host: reviews-new
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0301_shadowed_arm import shadowed_by
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.covering import Index, taken_before
from meshproof.lint.model.route import Arm, Match, Route, covers, impossible
from meshproof.lint.model.route_tables import routes

CODE = "MP0305"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each match that another one makes idle, where the arm is still reached."""
    for route in routes(project):
        closed: set[str] = set()
        for arm in route.arms:
            several = arm.protocol not in closed and len(arm.matches) > 1
            if several and shadowed_by(project, arm) is None:
                yield from _idle(project, route, arm)
            if arm.takes_all and route.in_order:
                closed.add(arm.protocol)  # what follows is never asked: MP0304


def _idle(project: Project, route: Route, arm: Arm) -> Iterator[Hit]:
    index = Index()
    for match in arm.matches:
        index.add(arm, match)
    numbers = {id(match): number for number, match in enumerate(arm.matches)}
    for match in arm.matches:
        if impossible(match):
            continue
        _, other = taken_before(project).get(id(match), (arm, None))
        if other is None:
            other = _sibling(index, match, numbers, route.in_order)
        if other is not None:
            yield Hit(
                match.at,
                f"{arm.name}: the match in line {other.at.line} takes all that this one takes",
                "drop it, or join both into one match if both must hold",
            )


def _sibling(index: Index, match: Match, numbers: dict[int, int], in_order: bool) -> Match | None:
    """Return a match of the same arm that takes all of one; of two equal ones the first stays."""
    for _, one in index.covering(match):
        equal = covers(match, one)
        if (equal and numbers[id(one)] < numbers[id(match)]) or (not equal and in_order):
            return one
    return None
