"""Waits until every proxy of a run serves what was applied, or no longer what was deleted.

Each proxy must show that in two rounds: its workers follow its main thread a moment later (Envoy
docs, "Threading model").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.names import MESH
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.proxies import endpoints, query
from meshproof.mesh.cluster.proxies.proxies import (
    ConfigDump,
    Proxy,
    RequiresMtls,
    read_dump,
    source_marks,
)
from meshproof.mesh.protocol import Served, combine_versions


def _must_serve(run_object: RunObject, proxy: Proxy) -> bool:
    """Say whether a proxy of the run must have the config of an object."""
    if run_object.kind == "HTTPRoute":
        parents = run_object.body["spec"].get("parentRefs", ())
        return proxy.gateway == any(
            parent.get("kind", "Gateway") == "Gateway" for parent in parents
        )
    spec = run_object.body.get("spec", {})
    gateways = spec.get("gateways") or [MESH]
    if run_object.kind == "VirtualService" and proxy.gateway:
        return gateways != [MESH]
    if run_object.kind == "VirtualService" and MESH not in gateways:
        return False
    at_home = not proxy.gateway and proxy.namespace == run_object.namespace
    return at_home or proxy.namespace in (spec.get("exportTo") or ())


def _describe_fault(
    dump: ConfigDump, run_objects: Sequence[RunObject], present: bool, strict: RequiresMtls | None
) -> str:
    """Describe what a proxy does not have yet, or still has; empty when it is right."""
    for run_object in run_objects:
        is_wrong = any((source in dump.sources) != present for source in source_marks(run_object))
        if is_wrong and _must_serve(run_object, dump.proxy):
            return (
                f"{'does not have' if present else 'still has'} {run_object.kind} {run_object.name}"
            )
    must_be_strict = None if strict is None or dump.proxy.gateway else strict(dump.proxy)
    if must_be_strict is None or dump.strict == must_be_strict:
        return ""
    if dump.strict is None:
        return "does not take connections yet"
    return "still takes plaintext" if must_be_strict else "still refuses plaintext"


ListProxies = Callable[[], Sequence[Proxy]]


def wait_served(
    kube: Kube,
    proxies: Sequence[Proxy] | ListProxies,
    run_objects: Sequence[RunObject],
    present: bool = True,
    strict: RequiresMtls | None = None,
    run_name: str = "",
) -> Served:
    """Wait until every proxy serves the objects, or (`present` False) none of them.

    A proxy serves them once its clusters have their endpoints, too (see `endpoints`). `proxies` are
    pods that must stay, or a function that lists them in each round, as gateway pods come and go.
    The run's namespaces and hosts contain `run_name`, which identifies its config. `strict` says
    whether a sidecar must require mutual TLS (None: either is right); pass None when no object is a
    policy. Raises NotReady naming the late proxies and what they lack.
    """
    started = time.monotonic()
    rounds = _Rounds(kube, proxies, run_objects, present, strict, run_name)
    dumps = wait_for(
        rounds.poll,
        timeouts.CONFIG_SERVED,
        rounds.describe_delay,
        timeouts.POLL_SLOW,
        rounds.needs_another,
    )
    version = combine_versions(f"{dump.proxy} {dump.version}" for dump in dumps)
    return Served(version, len(dumps), round(time.monotonic() - started, 3))


def _fingerprint(dump: ConfigDump) -> object:
    """Return what must be equal in two rounds."""
    return dump.version, {name: frozenset(addresses) for name, addresses in dump.endpoints.items()}


@dataclass
class _Rounds:
    """The rounds over all proxies, and the results of the latest."""

    kube: Kube
    proxies: Sequence[Proxy] | ListProxies
    run_objects: Sequence[RunObject]
    present: bool
    strict: RequiresMtls | None
    run_name: str
    lagging: dict[Proxy, str] = field(default_factory=dict)
    previous: dict[Proxy, object] = field(default_factory=dict)
    #: Of each round: its duration in seconds, and whether it was complete.
    durations: list[float] = field(default_factory=list)
    complete: list[bool] = field(default_factory=list)

    def poll(self) -> list[ConfigDump] | None:
        """Read every proxy once; return the dumps if two rounds are complete and equal."""
        started = time.monotonic()
        results = query.query_all(self.kube, self._list_proxies(), self._read_dump)
        self._require_all_answered(results)
        dumps = [result for result in results.values() if isinstance(result, ConfigDump)]
        self.lagging = {
            proxy: fault
            for proxy, result in results.items()
            if (fault := self._describe_answer(result))
        }
        if self.present and self.run_name and not self.lagging:
            self.lagging = self._find_missing_endpoints(dumps)
        previous, self.previous = self.previous, {dump.proxy: _fingerprint(dump) for dump in dumps}
        self.durations.append(time.monotonic() - started)
        self.complete.append(bool(dumps) and not self.lagging)
        return dumps if self.complete[-1] and previous == self.previous else None

    def _list_proxies(self) -> Sequence[Proxy]:
        """Return the proxies of this round. Raises NotReady if there is none at the start."""
        proxies = self.proxies() if callable(self.proxies) else self.proxies
        if not proxies and not self.durations:
            raise NotReady("there is no proxy that could serve the rules")
        return proxies

    def _require_all_answered(self, results: Container[Proxy]) -> None:
        """Raise NotReady if a pod that must stay is gone."""
        for proxy in () if callable(self.proxies) else self.proxies:
            if proxy not in results:
                raise NotReady(f"{proxy} is gone: it should have served the rules")

    def _describe_answer(self, result: ConfigDump | NotReady) -> str:
        """Describe what is wrong with a proxy's answer; empty when it is right."""
        if isinstance(result, NotReady):
            return f"does not answer yet: {result}"
        return _describe_fault(result, self.run_objects, self.present, self.strict)

    def _find_missing_endpoints(self, dumps: Sequence[ConfigDump]) -> dict[Proxy, str]:
        """Return the proxies that lack an endpoint, each with a description."""
        expected = endpoints.read_expected_pods(
            self.kube, {name for dump in dumps for name in dump.endpoints}
        )
        return {
            dump.proxy: fault
            for dump in dumps
            if (fault := endpoints.describe_missing_endpoint(dump.endpoints, expected))
        }

    def _read_dump(self, proxy: Proxy) -> ConfigDump:
        """Read the config of one proxy."""
        return read_dump(self.kube, proxy, self.strict is not None, self.run_name)

    def needs_another(self) -> bool:
        """Say whether to do one more round when time is over; slow lines spend it in few rounds.

        There are at least two, and one more after the first complete one.
        """
        return len(self.complete) < 2 or (self.complete[-1] and sum(self.complete) == 1)

    def describe_delay(self) -> str:
        """Describe what was still wrong in the last round."""
        lines = "; ".join(f"{proxy} {fault}" for proxy, fault in self.lagging.items())
        longest, count = max(self.durations), len(self.previous)
        restless = "the config of the proxies does not come to rest" if count else "none is left"
        return (
            f"not served everywhere after {timeouts.CONFIG_SERVED:.0f} s and {len(self.durations)} "
            f"looks at {count} {'proxy' if count == 1 else 'proxies'} (up to {longest:.1f} s each):"
            f" {lines or restless}"
        )
