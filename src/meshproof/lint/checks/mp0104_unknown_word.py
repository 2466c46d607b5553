"""Value that is none of the valid words.

The key takes one of a few words, written exactly as in the reference, and this is none of them.

Why: the API server refuses the object, or the proxies reject the whole configuration and go on
serving an older one.

Bad::

    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata:
      name: default
      namespace: istio-system
    spec:
      mtls:
        mode: strict

Good::

    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata:
      name: default
      namespace: istio-system
    spec:
      mtls:
        mode: STRICT
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0104"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each value that is none of the words that its key takes."""
    for one in project.find_defects(DefectKind.WRONG_WORD):
        nearest = f"; did you mean '{one.expected}'?" if one.expected else ""
        yield Hit(one.at, f"{one.path}: '{one.actual}' is no valid word here{nearest}", one.repair)
