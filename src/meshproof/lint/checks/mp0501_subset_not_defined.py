"""Subset that its DestinationRule does not define."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.schema import find_closest_word
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, read_text
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.route import format_place
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0501"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset that the DestinationRules of its host do not have."""
    around = read_inventory(project)
    for _, _, target in list_destinations(project):
        policies = around.find_destination_rules(target.host)
        wanted = read_text(target.subset)
        if target.subset is None or not wanted or not policies:
            continue
        known = [one.name for policy in policies for one in policy.subsets]
        if wanted in known or not all(policy.is_complete for policy in policies):
            continue
        first = policies[0]
        has = f"has {', '.join(known)}" if known else "has no subsets"
        yield Hit(
            target.subset.at,
            f"{target.source_text} has no subset '{wanted}': DestinationRule '{first.document.name}' "
            f"({format_place(first.at, target.subset.at)}) {has}",
            find_closest_word(wanted, known) or f"add it to the subsets of '{first.document.name}'",
        )
