"""A change of config over all Envoys: step by step, each acknowledged by every one of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.mesh.envoy.envoy import Envoy, Rejected, Resource
from meshproof.mesh.process.processes import wait_for
from meshproof.mesh.protocol import Served, one_version
from meshproof.rules.model import RuleSet, StringMatch


class Plan:
    """What one Envoy is to serve, in the steps of a change.

    `opened` are its listeners (None: they stay), `widened` such as take both what those of before
    and what those of after take.
    """

    def __init__(
        self,
        envoy: Envoy,
        clusters: list[Resource],
        routes: dict[str, Resource],
        opened: list[Resource] | None = None,
        widened: list[Resource] | None = None,
    ) -> None:
        self.envoy = envoy
        self._clusters = clusters
        self._routes = routes
        self._opened = opened
        self._widened = widened

    def widen(self) -> bool:
        """Let callers come in the old way or the new one; say if that is a change."""
        return self._widened is not None and self.envoy.serve("lds", self._widened)

    def grow(self) -> None:
        """Add the clusters that the new routes need, keep those of the old routes."""
        wanted = {cluster["name"] for cluster in self._clusters}
        kept = [one for one in self.envoy.serving("cds") if one["name"] not in wanted]
        self.envoy.serve("cds", [*self._clusters, *kept])

    def route(self) -> None:
        """Switch the routes, and the listeners where they differ."""
        for name, routes in self._routes.items():
            self.envoy.serve(f"rds.{name}", [routes])
        if self._opened is not None:
            self.envoy.serve("lds", self._opened)

    def shrink(self) -> None:
        """Drop the clusters that no route needs any more."""
        self.envoy.serve("cds", self._clusters)


def rollout(plans: Sequence[Plan], rules: RuleSet) -> Served:
    """Serve the plans: clusters first, then routes, then unused clusters away; return what came.

    The order is istiod's (make before break): no route ever names a cluster that is not there, and
    where mTLS goes on or off, listeners take both before any caller changes its way.
    Raises BadRules, with the place in `rules` if Envoy quotes it, when an Envoy rejects its plan;
    NotReady, naming the Envoys, when some have not acknowledged it in time. Either way each Envoy
    is asked to go on with what it has; serving what was there before is up to the caller.
    """
    began = time.monotonic()
    try:
        if any([plan.widen() for plan in plans]):
            _await(plans, [])
        _await(plans, [plan.grow for plan in plans])
        _await(plans, [plan.route for plan in plans])
        _await(plans, [plan.shrink for plan in plans])
    except (Rejected, NotReady) as error:
        for plan in plans:
            with contextlib.suppress(NotReady):
                plan.envoy.withdraw()
        if isinstance(error, Rejected):
            raise BadRules(f"{_culprit(rules, error.reason)}{error}") from None
        raise
    version = one_version(f"{plan.envoy.name} {plan.envoy.version}" for plan in plans)
    return Served(version, len(plans), round(time.monotonic() - began, 3))


def _await(plans: Sequence[Plan], steps: Sequence[Callable[[], None]]) -> None:
    """Take one step on every Envoy, then wait until each has acknowledged it."""
    for step in steps:
        step()
    waiting = [plan.envoy for plan in plans]

    def look() -> bool | None:
        waiting[:] = [envoy for envoy in waiting if not envoy.acknowledged()]
        return True if not waiting else None

    wait_for(look, timeouts.CONFIG_SERVED, lambda: _stale(waiting))


def _stale(waiting: list[Envoy]) -> str:
    lines = []
    for envoy in waiting:
        kinds = ", ".join(envoy.stale(envoy.state())) or "listeners or clusters not settled"
        lines.append(f"{envoy.name} has not taken: {kinds}")
    return (
        f"the rules are not served by every proxy after {timeouts.CONFIG_SERVED:.0f} s "
        "(stale config): " + "; ".join(lines)
    )


def _culprit(wanted: RuleSet, reason: str) -> str:
    """Return `file:line: ` of the value that Envoy's words are about, if there is one.

    RE2 ends its words with the part of a regex that it refuses, `invalid perl operator: (?!`, and
    so does Envoy for the operators in a header's value.
    """
    strings = list(_strings(wanted))
    part = reason.rpartition(": ")[2].strip()
    for one in strings:
        if len(one.value) > 2 and one.value in reason:
            return f"{one.at}: "
    for one in strings:
        if (one.kind == "regex" or "%" in one.value) and part and part in one.value:
            return f"{one.at}: "
    return ""


def _strings(wanted: RuleSet) -> Iterator[StringMatch]:
    """Yield every string that a match of the rules compares with, and those that headers get."""
    for route in (route for table in wanted.tables for route in table.routes):
        for headers in route.all_headers:
            for changes in (headers.request, headers.response):
                for _, value in changes.set + changes.add:
                    yield StringMatch("exact", value, route.at)
    for match in (
        match for table in wanted.tables for route in table.routes for match in route.matches
    ):
        yield from (one for one in (match.uri, match.method, match.authority) if one)
        yield from (one for _, one in match.headers + match.without_headers + match.query)
