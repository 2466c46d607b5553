"""Destinations of a VirtualService: the subsets of DestinationRules, splits and their weights.

Source: Istio reference, DestinationRule and VirtualService (HTTPRouteDestination, Destination).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import nearest
from meshproof.base.names import Labels, full_name, is_service, labels
from meshproof.documents.manifest import Document, Value
from meshproof.rules.istio import actions, policies
from meshproof.rules.model import Target


@dataclass(frozen=True)
class Subsets:
    """The subsets of all DestinationRules: (full host, subset name) -> labels."""

    known: dict[tuple[str, str], Labels]

    @classmethod
    def read(cls, documents: Iterable[Document]) -> Subsets:
        """Return the subsets. Raises BadRules for one that is defined twice."""
        known: dict[tuple[str, str], Labels] = {}
        for document in documents:
            spec = document.spec
            spec.allow(
                "exportTo", "host", "subsets", "trafficPolicy", unsupported=("workloadSelector",)
            )
            policies.check_export(spec)
            policies.check(spec.get("trafficPolicy"))
            host = full_name(spec.need("host").text(), document.namespace)
            found = spec.get("subsets")
            for entry in found.items() if found else []:
                entry.allow("labels", "name", "trafficPolicy")
                policies.check(entry.get("trafficPolicy"))
                name = entry.need("name")
                if (host, name.text()) in known:
                    raise name.at.error(f"subset '{name.text()}' of {host} is defined twice")
                carried = entry.get("labels")
                known[host, name.text()] = labels(carried.texts()) if carried else ()
        return cls(known)

    def labels(self, host: str, subset: Value | None) -> Labels:
        """Return the labels of a subset. Raises BadRules, with the nearest, for an unknown one."""
        if subset is None:
            return ()
        name = subset.text()
        if (host, name) not in self.known:
            defined = sorted(known for owner, known in self.known if owner == host)
            raise subset.at.missing(
                f"subset '{name}' of {host} is not defined by any DestinationRule; "
                f"defined: {', '.join(defined) or 'none'}{nearest(name, defined)}",
                host.split(".")[1] if is_service(host) else "",
            )
        return self.known[host, name]


@dataclass(frozen=True)
class Destinations:
    """Reads destinations as they are seen from a namespace."""

    subsets: Subsets
    namespace: str

    def split(self, route: Value) -> tuple[Target, ...]:
        """Return a split. Raises BadRules for one without a destination or a weight above 0."""
        entries = route.items()
        if not entries:
            raise route.error("at least one destination")
        targets = tuple(self._weighted(entry, alone=len(entries) == 1) for entry in entries)
        if not sum(target.weight for target in targets):
            raise route.error("weights of which at least one is above 0")
        return targets

    def _weighted(self, entry: Value, alone: bool) -> Target:
        entry.allow("destination", "headers", "weight")
        destination, weight = entry.need("destination"), entry.get("weight")
        if weight is None and not alone:
            raise entry.at.error(f"{entry.path}: a split of several needs a weight on each")
        host, subset, port = self._read(destination)
        return Target(
            host,
            subset,
            _weight(weight),
            port,
            at=entry.at,
            headers=actions.headers(entry),
        )

    def destination(self, found: Value) -> Target:
        """Return a destination without a weight: that of a mirror."""
        host, subset, port = self._read(found)
        return Target(host, subset, 100, port, at=found.at)

    def _read(self, found: Value) -> tuple[str, Labels, int | None]:
        found.allow("host", "port", "subset")
        host = full_name(found.need("host").text(), self.namespace)
        port = found.get("port")
        if port is not None:
            port.allow("number")
        return (
            host,
            self.subsets.labels(host, found.get("subset")),
            port.need("number").integer(1, 65535) if port else None,
        )


def _weight(weight: Value | None) -> int:
    """Return the weight; a single destination without one gets everything."""
    return 100 if weight is None else weight.integer(0, 2**31 - 1)
