"""Serve objects by istiod, and wait until every proxy has acknowledged the push that has them.

It takes three looks, none of them a pause. istiod's own store (`/debug/configz`) has the version of
every object that was applied, and none that was deleted. Then a marker is applied, the last of all:
a rule whose route is named after the generation. Then each proxy routes by a push that has the
marker, and istiod knows of no push that this proxy has not acknowledged (`/debug/syncz`). A push is
made of the whole store, and its routes come last, so that this push has all that came before.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy.rollout import locate_rejected_value
from meshproof.mesh.istiod.api import Object, Refused
from meshproof.mesh.istiod.control_plane import ControlPlane
from meshproof.mesh.istiod.objects import Placed, format_generation, make_marker
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.protocol import Served, combine_versions
from meshproof.rules.model import RuleSet

#: What istiod sends to every proxy, as `/debug/syncz` names it.
_SENT_TYPES = ("cluster", "endpoint", "listener", "route")
#: Kinds in the order in which they are applied: what a rule refers to comes before it.
_ORDER = ("PeerAuthentication", "ServiceEntry", "Sidecar", "DestinationRule", "Gateway")


class Serving:
    """The objects that istiod has, and the proxies that take them."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._generations = itertools.count(1)
        self._applied: dict[tuple[str, str, str], Placed] = {}
        self._versions: dict[tuple[str, str, str], str] = {}

    def serve(
        self, objects: Sequence[Placed], proxies: Sequence[IstioProxy], rules: RuleSet
    ) -> Served:
        """Have istiod serve `objects` and nothing else; wait until every proxy has them.

        Raises BadRules with the place of a rule that istiod refuses, or that an Envoy rejects;
        `rules` are those in the objects. Raises NotReady with the proxies that do not take them in
        time. The caller serves the former objects again.
        """
        began = time.monotonic()
        self._replace(objects)
        self._wait_for(self._find_unread_objects, "istiod has not read")
        generation = next(self._generations)
        self._apply(make_marker(generation))
        word = format_generation(generation)
        self._wait_for(
            lambda: self._find_stale(proxies, word, rules),
            "the rules are not served (stale config)",
        )
        versions = (f"{proxy.name} {proxy.read_versions()}" for proxy in proxies)
        seconds = round(time.monotonic() - began, 3)
        return Served(combine_versions(versions), len(proxies), seconds)

    def _replace(self, objects: Sequence[Placed]) -> None:
        """Apply what is new or has changed, delete what is not wanted any more."""
        wanted = {placed.key: placed for placed in objects}
        for key in [key for key in self._applied if key not in wanted]:
            try:
                self._control_plane.api.delete(self._applied[key].body)
            except Refused as refused:
                raise NotReady(f"{' '.join(key)} cannot be deleted: {refused}") from None
            del self._applied[key], self._versions[key]
        for key, placed in sorted(wanted.items(), key=lambda item: _rank(item[1])):
            if key not in self._applied or self._applied[key].body != placed.body:
                self._versions[key] = self._apply(placed)
                self._applied[key] = placed

    def _apply(self, placed: Placed) -> str:
        """Apply an object; return its version. Raises BadRules if istiod refuses it."""
        self._control_plane.ensure_namespace(placed.body["metadata"]["namespace"])
        try:
            return self._control_plane.api.apply(placed.body)
        except Refused as refused:
            self._control_plane.require_alive()
            kind, namespace, name = placed.key
            place = f"{placed.at}: " if placed.at else ""
            raise BadRules(
                f"{place}{kind} {namespace}/{name}: istiod refuses it: {refused}"
            ) from None
        except NotReady:
            self._control_plane.require_alive()
            raise

    def _find_unread_objects(self) -> list[str]:
        """Return the objects of which istiod has another version than the one applied last."""
        known: dict[tuple[str, str, str], str] = {}
        for body in json.loads(self._control_plane.read_debug("/debug/configz")):
            metadata: Object = body["metadata"]
            key = body["kind"], metadata.get("namespace", ""), metadata["name"]
            known[key] = str(metadata.get("resourceVersion", ""))
        unread = [key for key, version in self._versions.items() if known.get(key) != version]
        marker = make_marker(0).key
        kept = [key for key in known if key not in self._versions and key != marker]
        return [" ".join(key) for key in (*unread, *kept)]

    def _find_stale(self, proxies: Iterable[IstioProxy], word: str, rules: RuleSet) -> list[str]:
        """Return, for each proxy that is not at the generation of `word`, what it lacks."""
        statuses = {
            status["proxy"]: status
            for status in json.loads(self._control_plane.read_debug("/debug/syncz") or "[]")
        }
        stale = []
        for proxy in proxies:
            proxy.require_alive()
            status = statuses.get(proxy.proxy_id)
            if status is None:
                stale.append(f"{proxy.name} is not connected to istiod")
                continue
            _check_accepted(proxy, status, rules)
            unacknowledged = [
                kind
                for kind in _SENT_TYPES
                if (kind != "endpoint" and not status.get(f"{kind}_sent"))
                or status.get(f"{kind}_sent") != status.get(f"{kind}_acked")
            ]
            if unacknowledged:
                stale.append(f"{proxy.name} has not acknowledged: {', '.join(unacknowledged)}")
            elif not proxy.has_routes_with(word):
                stale.append(f"{proxy.name} has the routes of an older push")
            elif proxy.listens_elsewhere():
                stale.append(f"{proxy.name} does not listen where its Sidecar says")
            elif not proxy.is_settled():
                stale.append(f"{proxy.name} has listeners or clusters that are not settled")
        return stale

    def _wait_for(self, find_missing: Callable[[], list[str]], problem: str) -> None:
        """Wait until nothing is missing. Raises NotReady with what still is."""
        missing: list[str] = []

        def look() -> bool | None:
            missing[:] = find_missing()
            return None if missing else True

        wait_for(
            look,
            timeouts.CONFIG_SERVED,
            lambda: f"{problem} after {timeouts.CONFIG_SERVED:.0f} s: {'; '.join(missing)}",
        )


def _rank(placed: Placed) -> int:
    """Return the place of an object in the order of applying."""
    kind = placed.body["kind"]
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _check_accepted(proxy: IstioProxy, status: Object, rules: RuleSet) -> None:
    """Raise BadRules if a proxy has rejected what istiod sent it last, in Envoy's words."""
    for error in _iter_errors(status):
        place = locate_rejected_value(rules, error)
        raise BadRules(f"{place}Envoy of {proxy.name} rejected the config of istiod: {error}")


def _iter_errors(status: Object) -> Iterator[str]:
    """Yield the errors of the types of config that a proxy has rejected (`/debug/syncz`)."""
    for resource in (status.get("resources") or {}).values():
        if resource.get("lastError"):
            yield str(resource["lastError"])
