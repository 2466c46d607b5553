"""Subset that its DestinationRule does not define."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.documents.schema import find_closest_word
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_unclear_paths, is_unclear
from meshproof.lint.model.route import format_place
from meshproof.lint.model.route_tables import gets_requests, list_destinations

CODE = "MP0501"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset that the DestinationRules of its host do not have."""
    inventory = project.inventory
    for _, route, destination in list_destinations(project):
        rules = inventory.find_destination_rules(destination.host)
        subset_name = read_text(destination.subset)
        if destination.subset is None or not subset_name or not rules:
            continue
        subset_names = [subset.name for rule in rules for subset in rule.subsets]
        if subset_name in subset_names or not all(_is_clear(project, rule) for rule in rules):
            continue
        first_rule = rules[0]
        contents = f"has {', '.join(subset_names)}" if subset_names else "has no subsets"
        rule_name = first_rule.document.name
        location = format_place(first_rule.at, destination.subset.at)
        yield Hit(
            destination.subset.at,
            f"{destination.source_text} has no subset '{subset_name}': "
            f"DestinationRule '{rule_name}' ({location}) {contents}",
            find_closest_word(subset_name, subset_names)
            or f"add it to the subsets of '{rule_name}'",
            None if gets_requests(route, destination) else Level.WARNING,
        )


def _is_clear(project: Project, rule: DestinationRule) -> bool:
    """Say whether all subsets of a rule could be read as they were meant."""
    unclear_paths = find_unclear_paths(project, rule.document)
    return rule.is_complete and not is_unclear("spec", unclear_paths)
