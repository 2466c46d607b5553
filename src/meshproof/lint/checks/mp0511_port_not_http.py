"""Port of a routed service that is not HTTP.

Rules with conditions on HTTP route a service whose port is declared as another protocol: by its
appProtocol, or by the first part of its name (`tcp-web`, `mongo`).

Why: Istio then treats the port as plain TCP. Envoy has no HTTP routes there, and the rule has no
effect at all: every request goes to every version.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: tcp-reviews
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

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http-reviews
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
from meshproof.lint.model.routed_ports import find_routed_ports

CODE = "MP0511"
LEVEL = Level.WARNING

_OTHERS = ("mongo", "mysql", "redis", "tcp", "tls", "udp")


def check(project: Project) -> Iterator[Hit]:
    """Report each port that HTTP rules are for and that is declared as something else."""
    for port in find_routed_ports(project):
        if port.protocol in _OTHERS:
            said = f"{port.declaration or 'its protocol'} makes port {port.number} of {port.host}"
            yield Hit(
                port.at,
                f"{said} {port.protocol.upper()}: the HTTP rules of {port.rule} have no effect",
                f"name: http-{port.name.partition('-')[2] or port.name}",
            )
