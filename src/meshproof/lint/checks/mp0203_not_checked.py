"""Document that is not checked.

This is an object of another project, or of the mesh and of no kind that meshproof reads, or no
Kubernetes object at all.

Why: a check that passes over what it does not know looks like one that found it good. An
EnvoyFilter, for one, can change every route behind the rules that are checked here. If that is
known, leave the file out or suppress this code.

Bad::

    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
    metadata:
      name: reviews
    spec:
      configPatches: []

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

CODE = "MP0203"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each document that no check looks into."""
    for one in project.find_defects(DefectKind.NOT_CHECKED):
        yield Hit(one.at, f"{one.actual}: it is not checked")
