"""List without an entry.

A list that means nothing when it is empty is empty, or a VirtualService has none of `http`, `tls`
and `tcp`.

Why: Istio's webhook refuses the object ("http, tcp or tls must be provided in virtual service").
Where it is off, the host has no routes, and requests to it are answered 404.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http: []

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
from meshproof.lint.engine.project import Project, locate_spec, read_spec

CODE = "MP0110"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each list that must not be empty and is."""
    for one in project.find_defects(DefectKind.EMPTY_LIST):
        yield Hit(one.at, f"{one.path}: the list has no entry", "write an entry, or drop the key")
    for document in project.documents_of_kind("VirtualService"):
        found = read_spec(document)
        if found is not None and project.lacks_keys(document, found, "http", "tls", "tcp"):
            yield Hit(
                locate_spec(document), "spec: no routes: there is none of http, tls and tcp", "http:"
            )
