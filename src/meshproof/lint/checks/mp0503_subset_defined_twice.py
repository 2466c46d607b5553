"""Subset that is defined twice.

Two subsets of one host have the same name, in one DestinationRule or in two.

Why: Istio's webhook refuses the name twice in one object. Of two objects it keeps the subset of the
older one and ignores the other, so that the order of `kubectl apply` decides which pods get the
requests.

Bad::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: v3
        labels:
          version: v2
      - name: v3
        labels:
          version: v3

Good::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: v2
        labels:
          version: v2
      - name: v3
        labels:
          version: v3
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import DestinationRule, Subset, read_inventory
from meshproof.lint.model.route import format_place

CODE = "MP0503"
LEVEL = Level.ERROR


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
