"""A change of config over all Envoys: step by step, each acknowledged by every one of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy, Resource
from meshproof.mesh.process.processes import wait_for
from meshproof.mesh.protocol import Served, combine_versions
from meshproof.rules.model import RuleSet, StringMatch


class ProxyPlan:
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
        self._listeners = opened
        self._widened_listeners = widened

    def widen_listeners(self) -> bool:
        """Let callers come in the old way or the new one; say if that is a change."""
        return self._widened_listeners is not None and self.envoy.serve(
            "lds", self._widened_listeners
        )

    def add_clusters(self) -> None:
        """Add the clusters that the new routes need, keep those of the old routes."""
        names = {cluster["name"] for cluster in self._clusters}
        old_clusters = [
            cluster for cluster in self.envoy.get_served("cds") if cluster["name"] not in names
        ]
        self.envoy.serve("cds", [*self._clusters, *old_clusters])

    def switch_routes(self) -> None:
        """Switch the routes, and the listeners where they differ."""
        for name, routes in self._routes.items():
            self.envoy.serve(f"rds.{name}", [routes])
        if self._listeners is not None:
            self.envoy.serve("lds", self._listeners)

    def drop_old_clusters(self) -> None:
        """Drop the clusters that no route needs any more."""
        self.envoy.serve("cds", self._clusters)


def roll_out(plans: Sequence[ProxyPlan], rules: RuleSet) -> Served:
    """Serve the plans: clusters first, then routes, then unused clusters away; return what came.

    The order is istiod's (make before break): no route ever names a cluster that is not there, and
    where mTLS goes on or off, listeners take both before any caller changes its way.
    Raises BadRules, with the place in `rules` if Envoy quotes it, when an Envoy rejects its plan;
    NotReady, naming the Envoys, when some have not acknowledged it in time. Either way each Envoy
    is asked to go on with what it has; serving what was there before is up to the caller.
    """
    began = time.monotonic()
    try:
        if any([plan.widen_listeners() for plan in plans]):
            _run_steps(plans, [])
        _run_steps(plans, [plan.add_clusters for plan in plans])
        _run_steps(plans, [plan.switch_routes for plan in plans])
        _run_steps(plans, [plan.drop_old_clusters for plan in plans])
    except (ConfigRejected, NotReady) as error:
        for plan in plans:
            with contextlib.suppress(NotReady):
                plan.envoy.return_to_accepted()
        if isinstance(error, ConfigRejected):
            raise BadRules(f"{_locate_rejected_value(rules, error.reason)}{error}") from None
        raise
    version = combine_versions(f"{plan.envoy.name} {plan.envoy.version}" for plan in plans)
    return Served(version, len(plans), round(time.monotonic() - began, 3))


def _run_steps(plans: Sequence[ProxyPlan], steps: Sequence[Callable[[], None]]) -> None:
    """Take one step on every Envoy, then wait until each has acknowledged it."""
    for step in steps:
        step()
    waiting = [plan.envoy for plan in plans]

    def look() -> bool | None:
        waiting[:] = [envoy for envoy in waiting if not envoy.has_acknowledged()]
        return True if not waiting else None

    wait_for(look, timeouts.CONFIG_SERVED, lambda: _describe_stale(waiting))


def _describe_stale(waiting: list[Envoy]) -> str:
    lines = []
    for envoy in waiting:
        kinds = (
            ", ".join(envoy.find_stale_kinds(envoy.read_state()))
            or "listeners or clusters not settled"
        )
        lines.append(f"{envoy.name} has not taken: {kinds}")
    return (
        f"the rules are not served by every proxy after {timeouts.CONFIG_SERVED:.0f} s "
        "(stale config): " + "; ".join(lines)
    )


def _locate_rejected_value(rules: RuleSet, reason: str) -> str:
    """Return `file:line: ` of the value that Envoy's words are about, if there is one.

    RE2 ends its words with the part of a regex that it refuses, `invalid perl operator: (?!`, and
    so does Envoy for the operators in a header's value.
    """
    strings = list(_iter_strings(rules))
    part = reason.rpartition(": ")[2].strip()
    for string in strings:
        if len(string.value) > 2 and string.value in reason:
            return f"{string.at}: "
    for string in strings:
        if (string.kind == "regex" or "%" in string.value) and part and part in string.value:
            return f"{string.at}: "
    return ""


def _iter_strings(rules: RuleSet) -> Iterator[StringMatch]:
    """Yield every string that a match of the rules compares with, and those that headers get."""
    for route in (route for table in rules.tables for route in table.routes):
        for headers in route.all_headers:
            for changes in (headers.request, headers.response):
                for _, value in changes.set + changes.add:
                    yield StringMatch("exact", value, route.at)
    for match in (
        match for table in rules.tables for route in table.routes for match in route.matches
    ):
        yield from (
            condition for condition in (match.uri, match.method, match.authority) if condition
        )
        yield from (
            condition for _, condition in match.headers + match.without_headers + match.query
        )
