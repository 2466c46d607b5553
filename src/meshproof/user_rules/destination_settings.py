"""What DestinationRules and Services say of a route's destinations, and what none compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from meshproof.documents.contents import name_object
from meshproof.documents.lookup import list_leaf_texts
from meshproof.documents.manifest import At, Document
from meshproof.inventory.destination_rules import KIND as DESTINATION_RULE
from meshproof.inventory.destination_rules import read_traffic_settings
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.oracle import gaps, hosts
from meshproof.oracle.actions import to_destination
from meshproof.rules.model import Route, Target


@dataclass(frozen=True)
class TrafficPolicies:
    """The traffic policies of some objects, by the destinations that they are for."""

    documents: Sequence[Document]

    def list_settings(self, route: Route) -> Iterator[tuple[str, str]]:
        """Yield the settings of the policies of each destination of a route, by name."""
        for target in route.split:
            if target.weight:
                for path, text in self._find_settings(target).items():
                    name = f"{path} of {to_destination(target)}"
                    yield name, f"{path} {text} for {to_destination(target)}"

    def _find_settings(self, target: Target) -> dict[str, str]:
        """Return the settings of a destination: a subset has its own in place of its rule's."""
        covering = [host for host in self._settings if hosts.covers(host, target.host)]
        if not covering:
            return {}
        nearest = max(covering, key=lambda host: ("*" not in host, len(host)))
        by_subset = self._settings[nearest]
        own = by_subset.get(target.subset_name, {}) if target.subset_name else {}
        replaced = {path.partition(".")[0] for path in own}
        general = by_subset.get("", {})
        kept = {key: text for key, text in general.items() if key.partition(".")[0] not in replaced}
        return {**kept, **own}

    @cached_property
    def _settings(self) -> dict[str, dict[str, dict[str, str]]]:
        """The settings by host and subset, "" for those of the whole rule."""
        return read_traffic_settings(
            document for document in self.documents if document.kind == DESTINATION_RULE
        )


def list_ports(route: Route, known_hosts: KnownHosts) -> Iterator[tuple[str, str]]:
    """Yield the port that each destination is called at, where its Service has several."""
    for target in route.split:
        service = known_hosts.world.services.get(target.host)
        if target.weight and target.port and service is not None and len(service.ports) > 1:
            destination = to_destination(target)
            yield f"port of {destination}", f"{destination} port {target.port}"


def list_unknown_ports(route: Route, known_hosts: KnownHosts) -> Iterator[str]:
    """Yield in words the ports of destinations whose Service is not known."""
    for target in route.split:
        if target.port and target.host not in known_hosts.world.services:
            yield f"port {target.port} of {to_destination(target)}: its Service is not known"


def list_left_out(
    documents: Iterable[Document], with_policies: bool
) -> Iterator[tuple[str, tuple[At, str]]]:
    """Yield what no request shows and no setting holds: what it is, its place and it in words.

    The traffic policies of DestinationRules are settings, unless `with_policies`.
    """
    for document in documents:
        if document.kind == DESTINATION_RULE and not with_policies:
            continue
        texts = dict(list_leaf_texts(document.root))
        for unproven in gaps.find_unproven_fields([document]):
            values = [text for path, text in texts.items() if _is_below(path, unproven.path)]
            value = f"{unproven.path} {', '.join(values)}".strip()
            what = f"{name_object(document)} {value}"
            yield what, (unproven.at, f"{what}: {unproven.reason}")


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))
