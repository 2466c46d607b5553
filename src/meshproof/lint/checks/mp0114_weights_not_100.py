"""Weights of a RouteRule that do not sum to 100."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_splits

CODE = "MP0114"


def check(project: Project) -> Iterator[Hit]:
    """Report each RouteRule of several destinations whose weights are not 100 together."""
    for split in read_splits(project):
        weights = split.weights
        if split.kind != "RouteRule" or weights is None or len(weights) == 1:
            continue
        is_complete = all(weight >= 0 for weight in weights) and not split.entries_without_weight
        if is_complete and sum(weights) not in (0, 100):
            yield Hit(
                split.at,
                f"{split.path}: the weights sum to {sum(weights)}, not to 100",
                f"weights that sum to 100, such as {_scale_to_100(weights)}",
            )


def _scale_to_100(weights: list[int]) -> str:
    """Return weights of the same ratio as whole numbers of 100; the last takes the rounding."""
    parts = [round(100 * weight / sum(weights)) for weight in weights[:-1]]
    return ", ".join(map(str, [*parts, 100 - sum(parts)]))
