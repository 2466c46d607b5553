"""Split in which no weight is above zero.

All weights of the split are 0. A 0 beside others is fine: that destination gets nothing for now.

Why: Istio refuses a split of several whose sum is 0, and a single destination with weight 0 gets
everything, not nothing (istio issue 15157). Gateway API answers such a rule with status 500.

Bad::

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
          weight: 0
        - destination:
            host: reviews-new
          weight: 0

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
          weight: 100
        - destination:
            host: reviews-new
          weight: 0
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.splits import read_splits

CODE = "MP0113"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each split whose weights are all 0."""
    for split in read_splits(project):
        if split.weights is None or any(split.weights) or len(split.entries_without_weight):
            continue
        if len(split.entries) == 1 and split.kind in ("VirtualService", "RouteRule"):
            said = "a single destination of weight 0 gets every request, not none"
            yield Hit(split.at, f"{split.path}: {said}", "drop the weight, or the route")
        else:
            yield Hit(split.at, f"{split.path}: no weight is above 0", "a weight above 0 on one")
