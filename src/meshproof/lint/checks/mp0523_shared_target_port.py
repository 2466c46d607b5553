"""Target port that two ports lead to."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0523"


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
