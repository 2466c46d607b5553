"""Weight missing in a split.

Several destinations share the requests, and one of them has no weight. (A single destination needs
none: it gets everything.)

Why: a destination without weight gets nothing, which nobody sees in the file, and a split where
none has one is refused. Where it is not refused, proxies reject the routes that istiod makes of it
and keep the previous ones (istio issues 50228 and 58237). In Gateway API a missing weight is 1.

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
          weight: 80
        - destination:
            host: reviews-new

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
          weight: 80
        - destination:
            host: reviews-new
          weight: 20
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.splits import Split, read_splits

CODE = "MP0112"
LEVEL = Level.ERROR


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
