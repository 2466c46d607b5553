"""Subset that is defined twice."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.destination_rules import DestinationRule, Subset
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place

CODE = "MP0503"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset whose host has an earlier one of its name."""
    first_subsets: dict[tuple[str, str], tuple[DestinationRule, Subset]] = {}
    for rule in project.inventory.destination_rules:
        for subset in rule.subsets:
            first_rule, first_subset = first_subsets.setdefault(
                (rule.host, subset.name), (rule, subset)
            )
            if first_subset is subset or _is_replaced(first_rule, rule):
                continue
            yield Hit(
                subset.at,
                f"subset '{subset.name}' of {rule.host} is defined before "
                f"({format_place(first_subset.at, subset.at)})",
                _suggest_repair(first_subset, subset),
                # Istio merges two objects, and refuses the name twice in one.
                None if first_rule.document is rule.document else Level.WARNING,
            )


def _is_replaced(first: DestinationRule, second: DestinationRule) -> bool:
    """Say whether the second object replaces the first: two of one name (MP0209)."""
    if first.document is second.document:
        return False
    is_same_namespace = first.document.namespace == second.document.namespace
    return is_same_namespace and first.document.name == second.document.name


def _suggest_repair(first: Subset, second: Subset) -> str:
    """Suggest to drop the second subset, or another name for it."""
    if first.labels == second.labels:
        return "drop one of them: their labels are equal"
    versions = [value for key, value in second.labels if key == "version"]
    return f"name: {versions[0]}" if versions and versions[0] != second.name else "another name"
