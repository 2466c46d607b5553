"""Port of a routed service that names no protocol.

HTTP rules route a service whose port says neither by appProtocol nor by the first part of its name
which protocol it has. Istio then looks at the first bytes of each connection.

Why: that mostly works, and it fails where the server speaks first, where the first bytes come late
(the connection is then plain TCP, without routes), and in Istio before 1.3, which took such a port
for TCP.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - port: 9080
    ---
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

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 9080
    ---
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

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.routed_ports import PROTOCOLS, find_routed_ports

CODE = "MP0512"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each port that HTTP rules are for and that declares no known protocol."""
    for port in find_routed_ports(project):
        if port.protocol not in PROTOCOLS:
            named = f"is named '{port.name}'" if port.name else "has no name"
            yield Hit(
                port.at,
                f"port {port.number} of {port.host} {named}, which tells no protocol: Istio "
                f"guesses it for the rules of {port.rule}",
                f"name: http-{port.name}" if port.name else "name: http",
            )
