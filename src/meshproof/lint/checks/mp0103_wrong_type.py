"""Value of the wrong type.

A number stands where text is needed, text where a number is needed, a single value where a list is
needed, or the like. YAML reads `1.0`, `true`, `yes`, `on` and `null` as numbers, truth values or
nothing unless they are in quotes.

Why: the API server refuses such an object. The classic is a label: `version: 1.0` is the number 1,
and the text "1.0" is what pods carry.

Bad::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: one
        labels:
          version: 1.0

Good::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: one
        labels:
          version: "1.0"
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0103"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each value that is of another type than its key takes."""
    for one in project.find_defects(DefectKind.WRONG_TYPE):
        yield Hit(one.at, f"{one.path}: expected {one.expected}, found {one.actual}", one.repair)
