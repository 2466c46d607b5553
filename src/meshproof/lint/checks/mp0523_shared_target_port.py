"""Target port that two ports lead to.

Two ports of the services of one workload have different numbers and the same target port.

Why: the workload's proxy has one listener for a target port. It is made from one of the two ports,
with that port's number and protocol; what comes in by the other is counted, matched and secured as
if it came in by the first.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: orders
    spec:
      selector:
        app: orders
      ports:
      - name: http
        port: 80
        targetPort: 8080
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: orders-internal
    spec:
      selector:
        app: orders
      ports:
      - name: http
        port: 8000
        targetPort: 8080
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: orders
    spec:
      selector:
        matchLabels:
          app: orders
      template:
        metadata:
          labels:
            app: orders
            sidecar.istio.io/inject: "true"
        spec:
          containers:
          - name: orders
            image: orders:1

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: orders
    spec:
      selector:
        app: orders
      ports:
      - name: http
        port: 80
        targetPort: 8080
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: orders-internal
    spec:
      selector:
        app: orders
      ports:
      - name: http
        port: 8000
        targetPort: 8081
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: orders
    spec:
      selector:
        matchLabels:
          app: orders
      template:
        metadata:
          labels:
            app: orders
            sidecar.istio.io/inject: "true"
        spec:
          containers:
          - name: orders
            image: orders:1
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0523"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two ports of other numbers that lead to one port of a workload."""
    told: set[int] = set()
    for workload, ports in read_served_ports(project):
        first: dict[tuple[str, str], ServedPort] = {}
        for port in ports:
            other = first.setdefault((port.target_port, port.transport), port)
            if other.number != port.number and id(port) not in told:
                told.add(id(port))
                named = f"port {other.number} of service '{other.service}'"
                yield Hit(
                    port.at,
                    f"port {port.number} of service '{port.service}' leads to {port.target_port} of "
                    f"{workload.document.kind} '{workload.document.name}', as {named} does "
                    f"({format_place(other.at, port.at)})",
                    f"port: {other.number}, or another targetPort",
                )
