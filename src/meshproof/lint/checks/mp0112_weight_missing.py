"""Weight missing in a split."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.splits import Split, read_splits

CODE = "MP0112"


def check(project: Project) -> Iterator[Hit]:
    """Report each split of several in which a destination has no weight."""
    for split in read_splits(project):
        lacking = split.entries_without_weight
        if split.default_weight == 0 and lacking and len(split.entries) > 1:
            yield Hit(
                lacking[0].at,
                f"{split.path}: {len(lacking)} of {len(split.entries)} destinations have no weight",
                _repair(split, len(lacking)),
            )


def _repair(split: Split, lacking: int) -> str:
    weights = split.weights
    rest = 100 - sum(weights) if weights is not None else 0
    if rest > 0 and rest % lacking == 0:
        return f"weight: {rest // lacking}"
    return "a weight on each destination"
