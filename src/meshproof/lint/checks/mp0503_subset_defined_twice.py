"""Subset that is defined twice."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import DestinationRule, Subset, read_inventory
from meshproof.lint.model.route import format_place

CODE = "MP0503"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset whose host has an earlier one of its name."""
    seen: dict[tuple[str, str], tuple[DestinationRule, Subset]] = {}
    for policy in read_inventory(project).destination_rules:
        for subset in policy.subsets:
            other, first = seen.setdefault((policy.host, subset.name), (policy, subset))
            if first is subset or _replaced(other, policy):
                continue
            yield Hit(
                subset.at,
                f"subset '{subset.name}' of {policy.host} is defined before "
                f"({format_place(first.at, subset.at)})",
                _repair(first, subset),
            )


def _replaced(first: DestinationRule, second: DestinationRule) -> bool:
    """Say whether the second object replaces the first: two of one name (a finding of its own)."""
    one, other = first.document, second.document
    return one is not other and (one.namespace, one.name) == (other.namespace, other.name)


def _repair(first: Subset, second: Subset) -> str:
    if first.labels == second.labels:
        return "drop one of them: their labels are equal"
    versions = [value for key, value in second.labels if key == "version"]
    return f"name: {versions[0]}" if versions and versions[0] != second.name else "another name"
