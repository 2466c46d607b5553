"""Arm that is shadowed.

An earlier arm takes every request that this one takes, so this one is never asked. Arms are asked
in their order (RouteRules: of precedence), and the first whose match holds decides. Paths,
regexes with a fixed beginning, headers, methods, source labels and the rest are compared.

In an HTTPRoute the closest match wins, whatever the order; there, only a rule with the very same
match as an earlier one is shadowed.

Why: the requests that the arm was written for go elsewhere, and nothing says so: the rule is valid,
and every answer is 200.

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
        route:
        - destination:
            host: reviews
      - match:
        - uri:
            prefix: /api/v2
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
            prefix: /api/v2
        route:
        - destination:
            host: reviews-new
      - match:
        - uri:
            prefix: /api
        route:
        - destination:
            host: reviews
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.arms import Arm, Route, before, covers, impossible, near
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.routes import routes

CODE = "MP0301"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each arm of which earlier arms take every request."""
    for route in routes(project):
        for arm in route.arms:
            shadow = shadowed_by(route, arm)
            if shadow is not None:
                yield _hit(route, arm, shadow)


def shadowed_by(route: Route, arm: Arm) -> Arm | None:
    """Return the last of the arms that take all that this one takes, None where some is left.

    An arm that takes every request is left out: it is reported itself (MP0304).
    """
    if not arm.sure or not route.in_order:
        return None if route.in_order else _twin(route, arm)
    asked = [one for one in before(route.of(arm.protocol), arm) if not one.takes_all]
    found: list[Arm] = []
    for match in arm.matches:
        if impossible(match):
            continue
        taken = next((one for one in asked if any(covers(out, match) for out in one.matches)), None)
        if taken is None or not match.conditions:
            return None
        found.append(taken)
    return max(found, key=lambda one: one.value.at) if found else None


def _twin(route: Route, arm: Arm) -> Arm | None:
    """Return an earlier rule of an HTTPRoute that has each of this one's matches."""
    earlier = route.arms[: route.arms.index(arm)]
    for one in earlier:
        if arm.sure and all(
            any(covers(a, match) and covers(match, a) for a in one.matches) for match in arm.matches
        ):
            return one
    return None


def _hit(route: Route, arm: Arm, shadow: Arm) -> Hit:
    if not route.in_order:
        said, repair = "has the same match", "one rule for both, or another match"
    else:
        said = "takes every request that this one takes"
        repair = f"move this arm before line {shadow.value.at.line}, or narrow that one"
    if route.dialect == "RouteRule":
        repair = f"a precedence above {shadow.order}"
    where = near(shadow.value.at, arm.value.at)
    said = f"{arm.name} is never reached: {shadow.name} ({where}) {said}"
    return Hit(arm.value.at, said, repair)
