"""Weight missing in a split."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_splits
from meshproof.rules.written import WrittenSplit

CODE = "MP0112"


def check(project: Project) -> Iterator[Hit]:
    """Report each split of several in which a destination has no weight."""
    for split in read_splits(project):
        unweighted = split.entries_without_weight
        if split.default_weight == 0 and unweighted and len(split.entries) > 1:
            counts = f"{len(unweighted)} of {len(split.entries)}"
            yield Hit(
                unweighted[0].at,
                f"{split.path}: {counts} destinations have no weight",
                _suggest_weight(split, len(unweighted)),
                # Istio refuses a split whose weights sum to 0 (validation.go), and no other.
                Level.ERROR if split.weights is not None and not any(split.weights) else None,
            )


def _suggest_weight(split: WrittenSplit, unweighted_count: int) -> str:
    """Suggest an equal share of what the other weights leave of 100."""
    weights = split.weights
    remainder = 100 - sum(weights) if weights is not None else 0
    if remainder > 0 and remainder % unweighted_count == 0:
        return f"weight: {remainder // unweighted_count}"
    return "a weight on each destination"
