"""Subset without a DestinationRule."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.schema import find_closest_word
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, read_text
from meshproof.lint.model.inventory import (
    DestinationRule,
    namespace_of,
    read_inventory,
    shorten_host,
)
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0502"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset of a host that has no DestinationRule among those that are here."""
    around = read_inventory(project)
    for _, _, target in list_destinations(project):
        if (
            target.subset is None
            or around.find_destination_rules(target.host)
            or not read_text(target.subset)
        ):
            continue
        if around.destination_rules or target.host in around.service_names:
            yield Hit(
                target.subset.at,
                f"subset '{read_text(target.subset)}' of {target.host}: no DestinationRule is for that "
                "host",
                _repair(target.host, around.destination_rules),
            )


def _repair(host: str, policies: list[DestinationRule]) -> str:
    for policy in policies:
        if shorten_host(policy.host) == shorten_host(host) and namespace_of(
            policy.host
        ) != namespace_of(host):
            return f"host: {host} in DestinationRule '{policy.document.name}' ({policy.at})"
    meant = find_closest_word(host, [policy.host for policy in policies], 0.85)
    if meant:
        return f"or is it the host of the DestinationRule for {shorten_host(meant)}?"
    return f"a DestinationRule with host: {shorten_host(host)} and this subset"
