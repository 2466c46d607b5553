"""apiVersion that is not served any more.

The kind exists, and this apiVersion of it was removed: `extensions/v1beta1` of Deployment in
Kubernetes 1.16 and of Ingress in 1.22, `v1alpha2` of Gateway API's routes in its 1.0.

Why: the API server refuses the object ("no matches for kind"), so the workload or route is not
there, or the one of an earlier apply stays.

Bad::

    apiVersion: extensions/v1beta1
    kind: Deployment
    metadata:
      name: orders-v2
    spec:
      selector:
        matchLabels:
          name: orders
          version: v2
      template:
        metadata:
          labels:
            name: orders
            version: v2
        spec:
          containers:
          - name: orders
            image: example.com/orders:2

Good::

    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: orders-v2
    spec:
      selector:
        matchLabels:
          name: orders
          version: v2
      template:
        metadata:
          labels:
            name: orders
            version: v2
        spec:
          containers:
          - name: orders
            image: example.com/orders:2
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0207"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each apiVersion that no server offers any more."""
    for one in project.find_defects(DefectKind.GONE_VERSION):
        today = f"; today it is {one.expected}" if one.expected else ""
        yield Hit(one.at, f"{one.repair} is not served as {one.actual} any more{today}", one.expected)
