"""Services at odds on a protocol.

Two services select one workload, and have one port number with two protocols: HTTP in one and TCP
in the other, or TCP and UDP.

Why: for the workload's proxy there is one such port. Istio takes the protocol of one service for
both, so that rules for HTTP have no effect, or the other protocol is refused (Istio, "Application
Requirements").

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
      name: orders-log
    spec:
      selector:
        app: orders
      ports:
      - name: syslog
        port: 80
        targetPort: 9090
        protocol: UDP
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
      name: orders-log
    spec:
      selector:
        app: orders
      ports:
      - name: syslog
        port: 514
        targetPort: 9090
        protocol: UDP
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
from meshproof.lint.engine.project import Project, Workload
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0522"
LEVEL = Level.WARNING

_HTTP = ("http", "http2", "grpc", "grpc-web")


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two services that give one port of a workload two protocols."""
    told: set[int] = set()
    for workload, ports in read_served_ports(project):
        first: dict[int, list[ServedPort]] = {}
        for port in ports:
            rivals = first.setdefault(port.number, [])
            for other in rivals:
                if other.service != port.service and _at_odds(other, port) and id(port) not in told:
                    told.add(id(port))
                    yield _hit(workload, other, port)
            rivals.append(port)


def _at_odds(one: ServedPort, other: ServedPort) -> bool:
    """Say whether two ports certainly differ; one that says nothing may speak anything."""
    if one.transport != other.transport:
        return True
    return bool(one.protocol and other.protocol) and _family(one) != _family(other)


def _family(port: ServedPort) -> str:
    return "http" if port.protocol in _HTTP else port.protocol


def _hit(workload: Workload, other: ServedPort, port: ServedPort) -> Hit:
    return Hit(
        port.at,
        f"port {port.number} of {workload.document.kind} '{workload.document.name}' is "
        f"{_said(port)} in service '{port.service}' and {_said(other)} in service "
        f"'{other.service}' ({format_place(other.at, port.at)})",
        "one protocol in both, or another port number",
    )


def _said(port: ServedPort) -> str:
    return port.transport if port.transport != "TCP" or not port.protocol else port.protocol.upper()
