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

from meshproof.lint.arms import Arm, Match, Route, before, covers, impossible
from meshproof.lint.finding import Hit, Level
from meshproof.lint.mp0301_shadowed_arm import shadowed_by
from meshproof.lint.project import Project
from meshproof.lint.routes import routes

CODE = "MP0305"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each match that another one makes idle, where the arm is still reached."""
    for route in routes(project):
        for arm in route.arms:
            if len(arm.matches) > 1 and shadowed_by(route, arm) is None:
                yield from _idle(route, arm)


def _idle(route: Route, arm: Arm) -> Iterator[Hit]:
    asked = before(route.of(arm.protocol), arm)
    if any(one.takes_all for one in asked):
        return
    earlier = [match for one in asked for match in one.matches]
    for match in arm.matches:
        if impossible(match):
            continue
        other = _other(route, arm, match, earlier)
        if other is not None:
            yield Hit(
                match.at,
                f"{arm.name}: the match in line {other.at.line} takes all that this one takes",
                "drop it, or join both into one match if both must hold",
            )


def _other(route: Route, arm: Arm, match: Match, earlier: list[Match]) -> Match | None:
    """Return a match that takes all that this one takes; of two equal ones the first stays."""
    for one in earlier:
        if covers(one, match):
            return one
    index = arm.matches.index(match)
    for place, one in enumerate(arm.matches):
        if one is match or not covers(one, match):
            continue
        equal = covers(match, one)
        if (equal and place < index) or (not equal and route.in_order):
            return one
    return None
