"""Unknown kind.

The API group is known, and it has no such kind: it is misspelt, or in the plural.

Why: nothing is applied ("no matches for kind"), and a tool that skips kinds that it does not know
passes the file as good. The other checks read the document as the nearest kind.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualServices
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
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
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0201"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each kind that its group does not have."""
    for one in project.find_defects(DefectKind.UNKNOWN_KIND):
        nearest = f"; did you mean '{one.expected}'?" if one.expected else ""
        yield Hit(one.at, f"{one.repair} has no kind '{one.actual}'{nearest}", one.expected)
