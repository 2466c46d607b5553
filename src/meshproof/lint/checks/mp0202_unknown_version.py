"""Unknown group or version.

The kind is known, and it is not served under this apiVersion: the group is misspelt or another
kind's, or there is no such version.

Why: nothing is applied ("no matches for kind ... in version ..."). The other checks read the
document under the right apiVersion.

Bad::

    apiVersion: networking.istio.io/v2
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

CODE = "MP0202"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each apiVersion under which its kind was never served."""
    for one in project.find_defects(DefectKind.UNKNOWN_VERSION):
        instead = f"; it is served as {one.expected}" if one.expected else ""
        yield Hit(one.at, f"there is no {one.repair} in {one.actual}{instead}", one.expected)
