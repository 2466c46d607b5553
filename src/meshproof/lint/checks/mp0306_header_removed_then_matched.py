"""Header that is removed before it is matched.

An arm takes a header off the request; the rule of another host matches on that header. What the
service behind the arm calls on behalf of the request can no longer carry it.

Why: a route by cookie or `end-user` works through the chain of services only while each hop passes
the header on. Taken off at the front door, the rule behind it never sees it, and its special arm is
never asked.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: productpage
    spec:
      hosts:
      - productpage
      http:
      - headers:
          request:
            remove:
            - end-user
        route:
        - destination:
            host: productpage
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - headers:
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
      name: productpage
    spec:
      hosts:
      - productpage
      http:
      - route:
        - destination:
            host: productpage
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - headers:
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

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, children, text
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Arm, Route, near
from meshproof.lint.model.route_tables import routes

CODE = "MP0306"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each removed header that the rule of another host matches on."""
    matched: dict[str, list[tuple[Route, Condition]]] = {}
    for route in routes(project):
        for arm in route.arms:
            for condition in (one for match in arm.matches for one in match.conditions):
                if condition.part.startswith("header ") and not condition.negated:
                    matched.setdefault(condition.part[7:], []).append((route, condition))
    for route in routes(project):
        for arm in route.arms:
            for header in _removed(arm):
                for other, condition in matched.get(text(header).lower(), []):
                    if not _same_hosts(route, other):
                        yield _hit(header, other, condition)
                        break


def _removed(arm: Arm) -> list[Value]:
    """Return the request headers that an arm takes off, for all or for some destinations."""
    return [
        *children(arm.value, "headers", "request", "remove"),
        *children(arm.value, "route", "headers", "request", "remove"),
        *children(arm.value, "filters", "requestHeaderModifier", "remove"),
        *children(arm.value, "backendRefs", "filters", "requestHeaderModifier", "remove"),
    ]


def _same_hosts(route: Route, other: Route) -> bool:
    if route is other:
        return True
    return bool({one.full for one in route.hosts} & {one.full for one in other.hosts})


def _hit(header: Value, other: Route, condition: Condition) -> Hit:
    where = near(condition.at, header.at)
    names = ", ".join(one.written for one in other.hosts) or "another host"
    return Hit(
        header.at,
        f"'{text(header)}' is removed here, and the rule for {names} matches on it ({where})",
        "keep the header up to the last rule that matches on it",
    )
