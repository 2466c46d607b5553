"""Rule without a default arm.

Every arm has conditions, and sidecars use the rule: a request that no arm takes is answered with
404 by the caller's own sidecar, although the service is there. (A gateway is meant to refuse what
it does not know, so rules that only gateways use may end like this. RouteRules had no such end:
what no rule took went to every version.)

Why: the rule sends its special requests where it says, and breaks all others: health checks, the
calls of a service that was forgotten, every cookie but one.

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
        - headers:
            end-user:
              exact: burr
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
from dataclasses import replace

from meshproof.lint.arms import Arm, Match
from meshproof.lint.conditions import Condition
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.routes import routes
from meshproof.names import MESH

CODE = "MP0303"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each rule of sidecars whose arms leave requests over."""
    ended = {
        host.full for route in routes(project) for host in route.hosts if _ends(route.of("http"))
    }
    for route in routes(project):
        arms = route.of("http")
        if route.dialect in ("RouteRule", "GRPCRoute") or not (arms and route.hosts):
            continue
        if route.in_mesh and route.gateways and not _ends(arms):
            if route.dialect == "HTTPRoute" and {one.full for one in route.hosts} & ended:
                continue
            names = ", ".join(one.written for one in route.hosts)
            yield Hit(
                arms[-1].value.at,
                f"{arms[-1].name} is the last arm and has a match: what no arm takes gets 404 "
                f"instead of {names}",
                "an arm without match at the end",
            )


def _ends(arms: list[Arm]) -> bool:
    matches = [match for arm in arms for match in arm.matches]
    single = {one.conditions[0] for one in matches if len(one.conditions) == 1}
    return any(_takes_all(match, single) for match in matches)


def _takes_all(match: Match, single: set[Condition]) -> bool:
    """Say whether a match, with others of a single condition, may take every request."""
    left = [
        one
        for one in match.conditions
        if one.part != "port" and not (one.part == "gateway" and MESH in one.values)
    ]
    if not match.sure or not left:
        return True
    return all(_opposite_in(single, one) for one in left)


def _opposite_in(single: set[Condition], wanted: Condition) -> bool:
    """Say whether a condition stands there negated (or, being negated, stands there plainly)."""
    alike = any(one.part == wanted.part and one.negated != wanted.negated for one in single)
    return alike and replace(wanted, negated=not wanted.negated) in single
