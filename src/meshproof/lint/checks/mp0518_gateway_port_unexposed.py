"""Gateway port that no service exposes."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.gateways import Gateway
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0518"


def check(project: Project) -> Iterator[Hit]:
    """Report each port of a gateway that the services of its workloads do not have."""
    for gateway in project.inventory.gateways.values():
        ports = _list_ports(project, gateway) if gateway.is_istio and gateway.selector else []
        if not ports or any(not port.target_port.isdigit() for port in ports):
            continue  # a target port by name may be any number
        known_ports = {number for port in ports for number in (str(port.number), port.target_port)}
        for server in gateway.servers:
            if server.number and str(server.number) not in known_ports:
                services = " and ".join(sorted({port.service for port in ports}))
                yield Hit(
                    server.at,
                    f"port {server.number} of gateway {gateway.name} is not exposed by {services}",
                    f"one of {', '.join(str(port.number) for port in ports)}, "
                    f"or a port in service {services}",
                )


def _list_ports(project: Project, gateway: Gateway) -> list[ServedPort]:
    """Return the TCP ports of the services of a gateway's workloads."""
    return [
        port
        for workload, ports in read_served_ports(project)
        if workload.is_selected_by(gateway.selector)
        for port in ports
        if port.transport == "TCP"
    ]
