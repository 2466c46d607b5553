"""Port that must be said.

The rule is served by a gateway and sends to a service with several ports without saying which. The
gateway then takes its own port's number, which the service does not have.

Why: the requests get 503. From a sidecar the same rule works, since there the port is the one that
was called.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 9080
      - name: http-admin
        port: 9081
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - "*"
      gateways:
      - bookinfo-gateway
      http:
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 9080
      - name: http-admin
        port: 9081
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - "*"
      gateways:
      - bookinfo-gateway
      http:
      - route:
        - destination:
            host: reviews
            port:
              number: 9080
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.arms import Route
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.routes import targets
from meshproof.lint.surroundings import Surroundings, surroundings
from meshproof.names import MESH

CODE = "MP0513"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each destination of a gateway's rule that leaves the port open among several."""
    around = surroundings(project)
    for route, _, target in targets(project):
        ports = around.ports(target.host)
        if route.dialect != "VirtualService" or target.port is not None or len(ports) < 2:
            continue
        if any(not _served(around, route, name.full, ports) for name in route.gateways):
            shown = ", ".join(map(str, ports))
            yield Hit(
                target.at,
                f"{target.written} has the ports {shown}, and a gateway does not know which",
                f"port: {{number: {ports[0]}}}",
            )


def _served(around: Surroundings, route: Route, gateway: str, ports: list[int]) -> bool:
    """Say whether the port is plain: in sidecars, or since the gateway has the same numbers."""
    if gateway == MESH:
        return True
    way = around.ways.get(gateway)
    return way is not None and all(server.number in ports for server in way.servers)
