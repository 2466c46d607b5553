"""Older apiVersion.

The object is served under this apiVersion, and there is a newer one that says the same.

Why: it works today. Older versions are the first to go when Istio or Kubernetes removes something,
and new fields are documented for the newest only. Istio serves v1 since 1.22.

Bad::

    apiVersion: networking.istio.io/v1alpha3
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

CODE = "MP0206"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each apiVersion that has a newer one."""
    for one in project.find_defects(DefectKind.OLDER_VERSION):
        yield Hit(one.at, f"{one.repair} is served as {one.expected} by now", one.expected)
