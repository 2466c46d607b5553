"""Short host of another namespace.

A host without a dot means the service of that name in the namespace of the rule, not of the client
or of the service; the service of that name is in another namespace. And a name such as
`reviews.prod` is not completed at all: it is a host of its own.

Why: the rule routes a host that does not exist, and the one that exists is not routed. Istio's
reference asks for full names for this reason.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
      namespace: prod
    spec:
      ports:
      - name: http
        port: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
      namespace: istio-rules
    spec:
      hosts:
      - reviews.prod.svc.cluster.local
      http:
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
      namespace: prod
    spec:
      ports:
      - name: http
        port: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
      namespace: istio-rules
    spec:
      hosts:
      - reviews.prod.svc.cluster.local
      http:
      - route:
        - destination:
            host: reviews.prod.svc.cluster.local
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0507_host_without_service import elsewhere, mentioned
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import namespace_of, read_inventory
from meshproof.lint.model.route import Reference
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0508"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each host that means no service in its place, and one in another namespace."""
    around = read_inventory(project)
    for name, kind, owner in _names(project) if around.namespaces else ():
        if name.full_name.startswith("*") or around.has_host(name.full_name, owner):
            continue
        meant = elsewhere(around, name)
        if meant:
            said = f"'{name.source_text}' means {name.full_name} here, which no service is"
            by_namespace = kind in ("HTTPRoute", "GRPCRoute", "RouteRule")
            yield Hit(name.at, said, f"namespace: {namespace_of(meant)}" if by_namespace else meant)


def _names(project: Project) -> Iterator[tuple[Reference, str, str]]:
    yield from mentioned(project)
    for table in read_route_tables(project):
        if table.dialect == "VirtualService" and table.applies_to_mesh:
            for host in table.hosts:
                yield host, table.dialect, table.document.namespace
