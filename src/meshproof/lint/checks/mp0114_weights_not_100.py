"""Weights of a RouteRule that do not sum to 100.

A RouteRule's weights are per cent: together they must be 100. (A VirtualService's are parts of
their sum, whatever that is, and so are those of Gateway API.)

Why: Istio of that time refused the rule. Taken over into a VirtualService, the same numbers mean
other shares: 80 and 30 become 73 % and 27 %.

Bad::

    apiVersion: config.istio.io/v1alpha2
    kind: RouteRule
    metadata:
      name: reviews-split
    spec:
      destination:
        name: reviews
      route:
      - labels:
          version: v1
        weight: 80
      - labels:
          version: v2
        weight: 30

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
          weight: 70
        - destination:
            host: reviews-new
          weight: 30
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.splits import read_splits

CODE = "MP0114"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each RouteRule of several destinations whose weights are not 100 together."""
    for split in read_splits(project):
        weights = split.weights
        if split.kind != "RouteRule" or weights is None or len(weights) == 1:
            continue
        whole = all(weight >= 0 for weight in weights) and not split.entries_without_weight
        if whole and sum(weights) not in (0, 100):
            yield Hit(
                split.at,
                f"{split.path}: the weights sum to {sum(weights)}, not to 100",
                f"weights that sum to 100, such as {_scaled(weights)}",
            )


def _scaled(weights: list[int]) -> str:
    """Return the same parts of 100, whole numbers, the rounding on the last."""
    parts = [round(100 * weight / sum(weights)) for weight in weights[:-1]]
    return ", ".join(map(str, [*parts, 100 - sum(parts)]))
