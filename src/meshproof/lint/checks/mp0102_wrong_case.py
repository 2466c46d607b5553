"""Key in the wrong case.

The key exists here, but with other capital letters, or without `_` or `-`: `apiversion` is
`apiVersion`, `perTryTimeOut` is `perTryTimeout`, `match_labels` is `matchLabels`.

Why: keys are compared letter by letter. With `apiversion` the object has no version at all and
nothing is applied; in a spec the value is dropped or the object refused. The other checks read the
document as if the key were spelt right.

Bad::

    apiversion: networking.istio.io/v1
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

CODE = "MP0102"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each key that is right but for its capital letters."""
    for one in project.find_defects(DefectKind.WRONG_CASE):
        where = f"{one.path}: " if one.path else ""
        yield Hit(one.at, f"{where}'{one.actual}' is written '{one.expected}'", one.repair)
