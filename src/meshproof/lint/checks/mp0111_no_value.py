"""Key without a value.

The key stands there and nothing after it. Mostly the lines below it are not indented, were removed,
or are a comment.

Why: the API server drops such a key, so the rule is served without it: a `match:` without a value
is a route that takes every request.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        # - uri:
        #     prefix: /reviews
        route:
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /reviews
        route:
        - destination:
            host: reviews
      - route:
        - destination:
            host: reviews-new
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0111"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each key of a rule that has no value."""
    for one in project.find_defects(DefectKind.NO_VALUE):
        yield Hit(one.at, f"{one.path}: there is no value", "write the value, or drop the key")
