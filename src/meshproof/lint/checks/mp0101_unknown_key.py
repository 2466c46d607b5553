"""Unknown key.

The kind has no such key at this place: it is misspelt, or its indentation puts it one level too
high or too deep, or it belongs to another kind.

Why: what stands under an unknown key is not served. Older API servers drop it without a word, so
that `percendence: 2` leaves a rule without precedence and `weigth: 80` a destination without
traffic; newer ones refuse the object. The message names the nearest valid key; the other checks
read the document as if it stood there.

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
        - uri:
            prefix: /reviews
        route:
        - destination:
            host: reviews
          weigth: 80
        - destination:
            host: reviews-new
          weight: 20
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
      - match:
        - uri:
            prefix: /reviews
        route:
        - destination:
            host: reviews
          weight: 80
        - destination:
            host: reviews-new
          weight: 20
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0101"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each key that its mapping does not have, with the nearest that it has."""
    for one in project.find_defects(DefectKind.UNKNOWN_KEY):
        where = f"{one.path}: " if one.path else ""
        nearest = f"; did you mean '{one.expected}'?" if one.expected else ""
        said = f"unknown key '{one.actual}'{nearest}"
        if one.expected == one.actual:
            said = f"'{one.actual}' stands one level too deep"
        yield Hit(one.at, f"{where}{said}", one.repair)
