"""apiVersion or kind missing.

The document does not say what it is. The rest of it often does: the message names the kind that it
looks like, and the other checks read it as that.

Why: nothing is applied. `kubectl` refuses it ("apiVersion not set"), and tools that skip what they
do not know pass it over, so that the rule seems to be there and is not.

Bad::

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

CODE = "MP0107"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each document that lacks apiVersion, kind or both."""
    for one in project.find_defects(DefectKind.NO_TYPE):
        verb = "are" if " and " in one.actual else "is"
        looks = f"; the document looks like a {one.expected}" if one.expected else ""
        yield Hit(one.at, f"{one.actual} {verb} missing{looks}", one.repair)
