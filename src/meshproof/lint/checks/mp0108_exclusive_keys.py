"""Keys that exclude each other.

Of these keys one at most may be there: a condition is either exact, prefix or regex; a route sends
requests on, redirects, answers itself or delegates; a redirect has no rewrite and no fault.

Why: the API server or Istio's webhook refuses the object; where neither looks, one of the keys wins
and which one is not said.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - redirect:
          authority: reviews.example.com
        route:
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
      - redirect:
          authority: reviews.example.com
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0108"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each mapping that has two keys of which only one may be there."""
    for one in project.find_defects(DefectKind.EXCLUSIVE_KEYS):
        where = one.path or "the document"
        yield Hit(one.at, f"{where}: {one.actual} exclude each other", "keep one of them")
