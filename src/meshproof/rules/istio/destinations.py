"""Reads the destinations of a VirtualService: subsets, splits and their weights.

Source: Istio reference, DestinationRule and VirtualService (HTTPRouteDestination, Destination).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import suggest_nearest
from meshproof.base.names import Labels, is_service
from meshproof.documents.manifest import Value
from meshproof.documents.problems import CheckedDocument
from meshproof.inventory.destination_rules import read_destination_rules
from meshproof.rules.istio import actions, policies
from meshproof.rules.istio.written import read_destination
from meshproof.rules.model import Target


@dataclass(frozen=True)
class Subsets:
    """The subsets of all DestinationRules: (full host, subset name) -> labels."""

    labels_by_subset: dict[tuple[str, str], Labels]

    @classmethod
    def from_rules(cls, documents: Iterable[CheckedDocument]) -> Subsets:
        """Return the subsets of DestinationRules; one defined twice is a problem."""
        labels_by_subset: dict[tuple[str, str], Labels] = {}
        for checked in documents:
            with checked.collect(checked.document.root):
                _add_subsets(checked, labels_by_subset)
        return cls(labels_by_subset)

    def find_labels(self, host: str, subset: Value | None) -> Labels:
        """Return the labels of a subset. Raises BadRules, with the nearest, for an unknown one."""
        if subset is None:
            return ()
        name = subset.text()
        if (host, name) not in self.labels_by_subset:
            defined = sorted(
                subset_name
                for subset_host, subset_name in self.labels_by_subset
                if subset_host == host
            )
            raise subset.at.missing(
                f"subset '{name}' of {host} is not defined by any DestinationRule; "
                f"defined: {', '.join(defined) or 'none'}{suggest_nearest(name, defined)}",
                host.split(".")[1] if is_service(host) else "",
            )
        return self.labels_by_subset[host, name]


def _add_subsets(checked: CheckedDocument, labels_by_subset: dict[tuple[str, str], Labels]) -> None:
    """Add the subsets of a DestinationRule to `labels_by_subset`."""
    spec = checked.document.spec
    with checked.collect(spec):
        policies.check_export(spec)
    for rule in read_destination_rules([checked.document]):
        checked.add_errors(rule.problems)
        for subset in rule.subsets:
            with checked.collect(spec):
                if (rule.host, subset.name) in labels_by_subset:
                    raise subset.at.error(f"subset '{subset.name}' of {rule.host} is defined twice")
                labels_by_subset[rule.host, subset.name] = subset.labels


@dataclass(frozen=True)
class DestinationReader:
    """Reads destinations of a VirtualService in `namespace`."""

    subsets: Subsets
    namespace: str

    def read_split(self, route: Value) -> tuple[Target, ...]:
        """Return the split of a route.

        Raises BadRules for one without a destination or without a weight above 0.
        """
        entries = route.items()
        if not entries:
            raise route.error("at least one destination")
        targets = tuple(
            self._read_weighted_target(entry, is_single=len(entries) == 1) for entry in entries
        )
        if not sum(target.weight for target in targets):
            raise route.error("weights of which at least one is above 0")
        return targets

    def _read_weighted_target(self, entry: Value, is_single: bool) -> Target:
        """Return a target of a split. The weight of a single one says nothing, none is 0."""
        destination, weight = entry.need("destination"), entry.get("weight")
        share = weight.integer(0, 2**31 - 1) if weight is not None else 0
        host, subset, port = self._read_destination(destination)
        return Target(
            host,
            subset,
            100 if is_single else share,
            port,
            at=entry.at,
            headers=actions.read_headers(entry),
        )

    def read_target(self, destination: Value) -> Target:
        """Return a destination without a weight, as a mirror has it."""
        host, subset, port = self._read_destination(destination)
        return Target(host, subset, 100, port, at=destination.at)

    def _read_destination(self, destination: Value) -> tuple[str, Labels, int | None]:
        """Return host, labels of the subset, and port of a Destination."""
        host_name, port = destination.need("host"), destination.get("port")
        host_name.non_empty_text()
        if port is not None:
            port.need("number")
        written = read_destination(destination, self.namespace)
        if written is None:
            raise host_name.error("a host")
        return (
            written.host,
            self.subsets.find_labels(written.host, written.subset),
            written.port.integer(1, 65535) if written.port else None,
        )
