"""Gateway port that no service exposes."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Gateway, read_inventory
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0518"


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
