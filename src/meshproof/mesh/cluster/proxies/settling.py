"""Waiting until every proxy of a run serves what was applied, or no longer what was deleted.

Each proxy must show it in two looks: what its main thread shows, its workers have a moment later
(Envoy docs, "Threading model").
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
from meshproof.mesh.protocol import Served, one_version


def _must_serve(placed: RunObject, proxy: Proxy) -> bool:
    """Say whether a proxy of the run must have what an object says."""
    if placed.kind == "HTTPRoute":
        parents = placed.body["spec"].get("parentRefs", ())
        return proxy.gateway == any(one.get("kind", "Gateway") == "Gateway" for one in parents)
    spec = placed.body.get("spec", {})
    gateways = spec.get("gateways") or [MESH]
    if placed.kind == "VirtualService" and proxy.gateway:
        return gateways != [MESH]
    if placed.kind == "VirtualService" and MESH not in gateways:
        return False
    at_home = not proxy.gateway and proxy.namespace == placed.namespace
    return at_home or proxy.namespace in (spec.get("exportTo") or ())


def _describe_fault(
    one: ConfigDump, objects: Sequence[RunObject], there: bool, strict: RequiresMtls | None
) -> str:
    """Return in words what a proxy does not have yet, or still has."""
    for placed in objects:
        wrong = any((mark in one.sources) != there for mark in source_marks(placed))
        if wrong and _must_serve(placed, one.proxy):
            return f"{'does not have' if there else 'still has'} {placed.kind} {placed.name}"
    wanted = None if strict is None or one.proxy.gateway else strict(one.proxy)
    if wanted is None or one.strict == wanted:
        return ""
    if one.strict is None:
        return "does not take connections yet"
    return "still takes plaintext" if wanted else "still refuses plaintext"


ListProxies = Callable[[], Sequence[Proxy]]


def wait_served(
    kube: Kube,
    proxies: Sequence[Proxy] | ListProxies,
    objects: Sequence[RunObject],
    there: bool = True,
    strict: RequiresMtls | None = None,
    own: str = "",
) -> Served:
    """Wait until every proxy serves the objects, or (`there` False) none of them any more.

    It serves them once its clusters have the endpoints that they should, too (`endpoints`).
    `proxies` are pods that must stay, or what lists those that there are: in each look anew, for
    pods of a gateway come and go. `own` stands in the names of the run's namespaces and hosts, by
    which its config is told apart. `strict` says whether a sidecar must take mutual TLS only (None:
    either is right); it is None where no policy is among the objects. Raises NotReady naming the
    proxies that are late and what they lack.
    """
    began = time.monotonic()
    rounds = _Rounds(kube, proxies, objects, there, strict, own)
    dumps = wait_for(
        rounds.poll,
        timeouts.CONFIG_SERVED,
        rounds.describe_delay,
        timeouts.POLL_SLOW,
        rounds.needs_another,
    )
    version = one_version(f"{one.proxy} {one.version}" for one in dumps)
    return Served(version, len(dumps), round(time.monotonic() - began, 3))


def _fingerprint(one: ConfigDump) -> object:
    """Return what two looks at a proxy must show alike."""
    return one.version, {name: frozenset(there) for name, there in one.endpoints.items()}


@dataclass
class _Rounds:
    """The looks at all proxies, one after the other, and what the last ones have shown."""

    kube: Kube
    proxies: Sequence[Proxy] | ListProxies
    objects: Sequence[RunObject]
    present: bool
    strict: RequiresMtls | None
    run_name: str
    late: dict[Proxy, str] = field(default_factory=dict)
    previous: dict[Proxy, object] = field(default_factory=dict)
    #: How long each look has taken, in seconds, and whether all was there.
    durations: list[float] = field(default_factory=list)
    complete: list[bool] = field(default_factory=list)

    def poll(self) -> list[ConfigDump] | None:
        """Look at every proxy; return what they serve once two looks have shown the same."""
        began = time.monotonic()
        answers = query.query_all(self.kube, self._list_proxies(), self._read_dump)
        self._require_all_answered(answers)
        dumps = [one for one in answers.values() if isinstance(one, ConfigDump)]
        self.late = {
            proxy: words for proxy, one in answers.items() if (words := self._describe_answer(one))
        }
        if self.present and self.run_name and not self.late:
            self.late = self._find_missing_endpoints(dumps)
        before, self.previous = self.previous, {one.proxy: _fingerprint(one) for one in dumps}
        self.durations.append(time.monotonic() - began)
        self.complete.append(bool(dumps) and not self.late)
        return dumps if self.complete[-1] and before == self.previous else None

    def _list_proxies(self) -> Sequence[Proxy]:
        found = self.proxies() if callable(self.proxies) else self.proxies
        if not found and not self.durations:
            raise NotReady("there is no proxy that could serve the rules")
        return found

    def _require_all_answered(self, answers: Container[Proxy]) -> None:
        for one in () if callable(self.proxies) else self.proxies:
            if one not in answers:
                raise NotReady(f"{one} is gone: it should have served the rules")

    def _describe_answer(self, answer: ConfigDump | NotReady) -> str:
        if isinstance(answer, NotReady):
            return f"does not answer yet: {answer}"
        return _describe_fault(answer, self.objects, self.present, self.strict)

    def _find_missing_endpoints(self, dumps: Sequence[ConfigDump]) -> dict[Proxy, str]:
        awaited = endpoints.read_expected_pods(
            self.kube, {name for one in dumps for name in one.endpoints}
        )
        return {
            one.proxy: words
            for one in dumps
            if (words := endpoints.describe_missing_endpoint(one.endpoints, awaited))
        }

    def _read_dump(self, proxy: Proxy) -> ConfigDump:
        return read_dump(self.kube, proxy, self.strict is not None, self.run_name)

    def needs_another(self) -> bool:
        """Say whether to look again when the time is over: on a slow line looks take most of it.

        There are two in any case, and one after the first in which all was there.
        """
        return len(self.complete) < 2 or (self.complete[-1] and sum(self.complete) == 1)

    def describe_delay(self) -> str:
        """Return what was still not right in the last look."""
        lines = "; ".join(f"{proxy} {words}" for proxy, words in self.late.items())
        longest, count = max(self.durations), len(self.previous)
        restless = "the config of the proxies does not come to rest" if count else "none is left"
        return (
            f"not served everywhere after {timeouts.CONFIG_SERVED:.0f} s and {len(self.durations)} "
            f"looks at {count} {'proxy' if count == 1 else 'proxies'} (up to {longest:.1f} s each):"
            f" {lines or restless}"
        )
