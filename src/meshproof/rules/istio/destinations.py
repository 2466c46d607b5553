"""Reads the destinations of a VirtualService: subsets, splits and their weights.

Source: Istio reference, DestinationRule and VirtualService (HTTPRouteDestination, Destination).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from meshproof.base.errors import UndefinedSubset, suggest_nearest
from meshproof.base.names import (
    ROOT_NAMESPACE,
    UNDEFINED_SUBSET,
    Labels,
    is_host_within,
    is_service,
)
from meshproof.documents.manifest import Value
from meshproof.documents.problems import CheckedDocument
from meshproof.rules.istio import actions
from meshproof.rules.istio.destination_rules import read_merged_rules
from meshproof.rules.istio.written import read_destination
from meshproof.rules.model import DestinationRule, Target
from meshproof.rules.written import WrittenActions, WrittenEntry


@dataclass(frozen=True)
class Subsets:
    """The DestinationRules of all namespaces, in which subsets are looked up."""

    rules: tuple[DestinationRule, ...]

    @classmethod
    def from_rules(cls, documents: Iterable[CheckedDocument]) -> Subsets:
        """Return the subsets of DestinationRules, those of a namespace and host merged."""
        return cls(read_merged_rules(documents))

    def find_labels(self, host: str, subset: Value | None) -> Labels:
        """Return the labels that a rule means by a subset, whoever may see it.

        The service's own namespace says it, else that of the mesh, else any. Raises
        UndefinedSubset, with the nearest, for an unknown one.
        """
        if subset is None:
            return ()
        name = subset.text()
        namespace = host.split(".")[1] if is_service(host) else ""
        owners = (namespace, ROOT_NAMESPACE)
        covering = [rule for rule in self.rules if is_host_within(host, rule.host)]
        ranked = sorted(
            covering,
            key=lambda rule: owners.index(rule.namespace) if rule.namespace in owners else 2,
        )
        for rule in ranked:
            if name in dict(rule.subsets):
                return dict(rule.subsets)[name]
        defined = sorted({defined_name for rule in covering for defined_name, _ in rule.subsets})
        raise subset.at.undefined_subset(
            f"subset '{name}' of {host} is not defined by any DestinationRule; "
            f"defined: {', '.join(defined) or 'none'}{suggest_nearest(name, defined)}",
            namespace,
            bool(covering),
        )


@dataclass(frozen=True)
class DestinationReader:
    """Reads destinations of a VirtualService; an undefined subset becomes a problem of it."""

    subsets: Subsets
    checked: CheckedDocument

    @property
    def namespace(self) -> str:
        """The namespace of the VirtualService."""
        return self.checked.document.namespace

    def read_split(self, written: WrittenActions, route: Value) -> tuple[Target, ...]:
        """Return the split of a route.

        Raises BadRules for one without a destination or without a weight above 0.
        """
        value = route.need("route")
        written.check_form()
        entries = written.split.entries if written.split is not None else ()
        if not entries:
            raise value.lacks("at least one destination")
        targets = tuple(
            self._read_weighted_target(entry, is_single=len(entries) == 1) for entry in entries
        )
        if not sum(target.weight for target in targets):
            raise value.error("weights of which at least one is above 0")
        return targets

    def _read_weighted_target(self, entry: WrittenEntry, is_single: bool) -> Target:
        """Return a target of a split. The weight of a single one says nothing, none is 0."""
        share = entry.weight.integer(0, 2**31 - 1) if entry.weight is not None else 0
        return replace(
            self.read_target(entry.value.need("destination")),
            weight=100 if is_single else share,
            at=entry.value.at,
            headers=actions.read_headers(entry.headers),
        )

    def read_target(self, destination: Value) -> Target:
        """Return a destination without a weight, as a mirror has it."""
        host_name, port = destination.need("host"), destination.get("port")
        host_name.non_empty_text()
        if port is not None:
            port.need("number")
        written = read_destination(destination, self.namespace)
        if written is None:
            raise host_name.error("a host")
        return Target(
            written.host,
            self._find_labels(written.host, written.subset),
            100,
            written.port.integer(1, 65535) if written.port else None,
            at=destination.at,
            subset_name=written.subset.text() if written.subset is not None else "",
        )

    def _find_labels(self, host: str, subset: Value | None) -> Labels:
        """Return the labels of a subset; those of an undefined one no pod has."""
        try:
            return self.subsets.find_labels(host, subset)
        except UndefinedSubset as error:
            assert subset is not None
            self.checked.add_error(error, subset)
            return ((UNDEFINED_SUBSET, subset.text()),)
