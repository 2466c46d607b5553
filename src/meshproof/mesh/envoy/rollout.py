"""Roll out a change of config to all Envoys, step by step; all acknowledge each step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, MeshproofError
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy, Resource
from meshproof.mesh.protocol import Served, combine_versions
from meshproof.rules.model import RuleSet, StringMatch


class ProxyPlan:
    """The config that one Envoy is to serve, in the steps of a change.

    `opened` are its new listeners (None: it keeps the old ones). `widened` are listeners for the
    change itself; they accept the connections of both the old and the new ones.
    """

    def __init__(
        self,
        envoy: Envoy,
        clusters: list[Resource],
        routes: dict[str, Resource],
        listeners: list[Resource] | None = None,
        widened_listeners: list[Resource] | None = None,
    ) -> None:
        self.envoy = envoy
        self._clusters = clusters
        self._routes = routes
        self._listeners = listeners
        self._widened_listeners = widened_listeners

    def widen_listeners(self) -> bool:
        """Serve listeners for the old and the new mTLS mode; say whether that is a change."""
        return self._widened_listeners is not None and self.envoy.serve(
            "lds", self._widened_listeners
        )

    def add_clusters(self) -> None:
        """Add the clusters of the new routes; keep those of the old routes."""
        names = {cluster["name"] for cluster in self._clusters}
        old_clusters = [
            cluster for cluster in self.envoy.get_served("cds") if cluster["name"] not in names
        ]
        self.envoy.serve("cds", [*self._clusters, *old_clusters])

    def switch_routes(self) -> None:
        """Serve the new routes, and the new listeners if there are any."""
        for name, routes in self._routes.items():
            self.envoy.serve(f"rds.{name}", [routes])
        if self._listeners is not None:
            self.envoy.serve("lds", self._listeners)

    def drop_old_clusters(self) -> None:
        """Remove the clusters that no route needs any more."""
        self.envoy.serve("cds", self._clusters)


def roll_out(plans: Sequence[ProxyPlan], rules: RuleSet) -> Served:
    """Serve the plans in steps: new clusters, then routes, then drop unused clusters.

    This is istiod's order (make before break): no route ever names a missing cluster. If mTLS
    changes, listeners accept both modes before any caller changes its mode.

    Raises BadRules if an Envoy rejects its plan, with the place in `rules` if Envoy quotes a value
    of them. Raises NotReady with the names of the Envoys that have not acknowledged it in time, and
    ProxyCrashed if one crashes on it. In each case each Envoy is told to keep what it has accepted;
    the caller serves the former rules again.
    """
    began = time.monotonic()
    try:
        if any([plan.widen_listeners() for plan in plans]):
            _run_steps(plans, [])
        _run_steps(plans, [plan.add_clusters for plan in plans])
        _run_steps(plans, [plan.switch_routes for plan in plans])
        _run_steps(plans, [plan.drop_old_clusters for plan in plans])
    except (ConfigRejected, MeshproofError) as error:
        for plan in plans:
            with contextlib.suppress(MeshproofError):
                plan.envoy.return_to_accepted()
        if isinstance(error, ConfigRejected):
            raise BadRules(f"{locate_rejected_value(rules, error.reason)}{error}") from None
        raise
    version = combine_versions(f"{plan.envoy.name} {plan.envoy.version}" for plan in plans)
    return Served(version, len(plans), round(time.monotonic() - began, 3))


def _run_steps(plans: Sequence[ProxyPlan], steps: Sequence[Callable[[], None]]) -> None:
    """Take each step on every Envoy, then wait until all Envoys have acknowledged them.

    One that no step has changed is not asked again what it has acknowledged before.
    """
    for step in steps:
        step()
    pending_envoys = [plan.envoy for plan in plans if plan.envoy.is_pending]

    def look() -> bool | None:
        pending_envoys[:] = [envoy for envoy in pending_envoys if not envoy.has_acknowledged()]
        return True if not pending_envoys else None

    wait_for(look, timeouts.CONFIG_SERVED, lambda: _describe_stale(pending_envoys))


def _describe_stale(envoys: list[Envoy]) -> str:
    """Return the message about Envoys that have not acknowledged their config in time."""
    lines = []
    for envoy in envoys:
        kinds = (
            ", ".join(envoy.find_stale_kinds(envoy.read_state()))
            or "listeners or clusters not settled"
        )
        lines.append(f"{envoy.name} has not taken: {kinds}")
    return (
        f"the rules are not served by every proxy after {timeouts.CONFIG_SERVED:.0f} s "
        "(stale config): " + "; ".join(lines)
    )


def locate_rejected_value(rules: RuleSet, reason: str) -> str:
    """Return `file:line: ` of the rules' value that Envoy rejects, or an empty string.

    Envoy's message may contain the value. Or it ends with the refused part of it: RE2 does so for a
    regex (`invalid perl operator: (?!`), Envoy for the operators in a header's value.
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
    """Yield every string that the rules match with or write into headers."""
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
