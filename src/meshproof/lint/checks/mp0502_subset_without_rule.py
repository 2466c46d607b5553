"""Subset without a DestinationRule."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.documents.schema import find_closest_word
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.inventory.index import namespace_of, shorten_host
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0502"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset of a host for which no DestinationRule is among the documents."""
    inventory = project.inventory
    for _, _, destination in list_destinations(project):
        subset, host = destination.subset, destination.host
        if subset is None or not read_text(subset) or inventory.find_destination_rules(host):
            continue
        if inventory.destination_rules or host in inventory.service_names:
            yield Hit(
                subset.at,
                f"subset '{read_text(subset)}' of {host}: no DestinationRule is for that host",
                _suggest_repair(host, inventory.destination_rules),
            )


def _suggest_repair(host: str, rules: list[DestinationRule]) -> str:
    """Suggest the DestinationRule that is probably meant, or a new one."""
    for rule in rules:
        is_same_name = shorten_host(rule.host) == shorten_host(host)
        if is_same_name and namespace_of(rule.host) != namespace_of(host):
            return f"host: {host} in DestinationRule '{rule.document.name}' ({rule.at})"
    nearest_host = find_closest_word(host, [rule.host for rule in rules], 0.85)
    if nearest_host:
        return f"or is it the host of the DestinationRule for {shorten_host(nearest_host)}?"
    return f"a DestinationRule with host: {shorten_host(host)} and this subset"
