"""Split in which no weight is above zero."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_splits

CODE = "MP0113"


def check(project: Project) -> Iterator[Hit]:
    """Report each split whose weights are all 0."""
    for split in read_splits(project):
        if split.weights is None or any(split.weights) or len(split.entries_without_weight):
            continue
        if len(split.entries) == 1 and split.kind in ("VirtualService", "RouteRule"):
            message = "a single destination of weight 0 gets every request, not none"
            repair = "drop the weight, or the route"
            yield Hit(split.at, f"{split.path}: {message}", repair, Level.WARNING)
        else:
            # Gateway API takes it, and says that it answers 500.
            level = Level.WARNING if split.kind in ("HTTPRoute", "GRPCRoute") else None
            message = f"{split.path}: no weight is above 0"
            yield Hit(split.at, message, "a weight above 0 on one", level)
