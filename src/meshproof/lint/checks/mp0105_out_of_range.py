"""Value out of its range or form.

The type is right, the value is not: a port above 65535, a percentage above 100, a duration without
unit, a name with capital letters.

Why: the API server or Istio's webhook refuses the object; where the webhook is off, the proxies
reject what istiod makes of it and keep their previous routes.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - timeout: "5"
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
      - timeout: 5s
        route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0105"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each value that is of the right type and still impossible."""
    for one in project.find_defects(DefectKind.OUT_OF_RANGE):
        yield Hit(one.at, f"{one.path}: expected {one.expected}, found {one.actual}", one.repair)
