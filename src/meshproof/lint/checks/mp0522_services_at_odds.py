"""Services at odds on a protocol."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, Workload
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0522"

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
