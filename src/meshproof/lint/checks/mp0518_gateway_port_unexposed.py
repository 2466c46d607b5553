"""Gateway port that no service exposes.

The workloads that the gateway selects are here with a service in front of them, and that service
has neither such a port nor such a target port. (Both numbers are taken by Istio: it finds the
target port of a service's port itself.)

Why: the proxy listens on a port that nothing leads to. Requests from outside are refused, while the
rules of the gateway look right.

Bad::

    apiVersion: v1
    kind: Pod
    metadata:
      name: ingress
      labels:
        istio: ingress
    spec:
      containers:
      - name: istio-proxy
        image: auto
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: ingress
    spec:
      selector:
        istio: ingress
      ports:
      - name: http
        protocol: TCP
        port: 80
        targetPort: 8080
    ---
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo
    spec:
      selector:
        istio: ingress
      servers:
      - port:
          number: 9090
          name: http
          protocol: HTTP
        hosts:
        - bookinfo.example.com

Good::

    apiVersion: v1
    kind: Pod
    metadata:
      name: ingress
      labels:
        istio: ingress
    spec:
      containers:
      - name: istio-proxy
        image: auto
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: ingress
    spec:
      selector:
        istio: ingress
      ports:
      - name: http
        protocol: TCP
        port: 80
        targetPort: 8080
    ---
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo
    spec:
      selector:
        istio: ingress
      servers:
      - port:
          number: 80
          name: http
          protocol: HTTP
        hosts:
        - bookinfo.example.com
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Gateway, read_inventory
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0518"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each port of a gateway that the services of its workloads do not have."""
    for way in read_inventory(project).gateways.values():
        ports = _ports(project, way) if way.is_istio and way.selector else []
        if not ports or any(not one.target_port.isdigit() for one in ports):
            continue  # a target port by name may be any number
        known = {str(one.number) for one in ports} | {one.target_port for one in ports}
        for server in way.servers:
            if server.number and str(server.number) not in known:
                listed = " and ".join(sorted({one.service for one in ports}))
                yield Hit(
                    server.at,
                    f"port {server.number} of gateway {way.name} is not exposed by {listed}",
                    f"one of {', '.join(str(one.number) for one in ports)}, "
                    f"or a port in service {listed}",
                )


def _ports(project: Project, way: Gateway) -> list[ServedPort]:
    """Return the TCP ports of the services of a gateway's workloads."""
    return [
        port
        for workload, ports in read_served_ports(project)
        if workload.is_selected_by(way.selector)
        for port in ports
        if port.transport == "TCP"
    ]
