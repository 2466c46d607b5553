"""Target port that two ports lead to."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0523"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two ports with different numbers that lead to one port of a workload."""
    reported: set[int] = set()
    for workload, ports in read_served_ports(project):
        first_ports: dict[tuple[str, str], ServedPort] = {}
        for port in ports:
            first_port = first_ports.setdefault((port.target_port, port.transport), port)
            if first_port.number != port.number and id(port) not in reported:
                reported.add(id(port))
                yield Hit(
                    port.at,
                    f"port {port.number} of service '{port.service}' leads to {port.target_port} "
                    f"of {workload.document.kind} '{workload.document.name}', as port "
                    f"{first_port.number} of service '{first_port.service}' does "
                    f"({format_place(first_port.at, port.at)})",
                    f"port: {first_port.number}, or another targetPort",
                )
