"""Services at odds on a protocol."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.workloads import Workload
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place
from meshproof.lint.model.service_ports import ServedPort, read_served_ports

CODE = "MP0522"

_HTTP = ("http", "http2", "grpc", "grpc-web")


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two services that give one port of a workload two protocols."""
    reported: set[int] = set()
    for workload, ports in read_served_ports(project):
        ports_by_number: dict[int, list[ServedPort]] = {}
        for port in ports:
            rivals = ports_by_number.setdefault(port.number, [])
            for rival in rivals:
                if rival.service == port.service or id(port) in reported:
                    continue
                if _contradict(rival, port):
                    reported.add(id(port))
                    yield _build_hit(workload, rival, port)
            rivals.append(port)


def _contradict(first: ServedPort, second: ServedPort) -> bool:
    """Say whether two ports have different protocols; one that declares none may have any."""
    if first.transport != second.transport:
        return True
    if not (first.protocol and second.protocol):
        return False
    return _classify_protocol(first) != _classify_protocol(second)


def _classify_protocol(port: ServedPort) -> str:
    return "http" if port.protocol in _HTTP else port.protocol


def _build_hit(workload: Workload, rival: ServedPort, port: ServedPort) -> Hit:
    return Hit(
        port.at,
        f"port {port.number} of {workload.document.kind} '{workload.document.name}' is "
        f"{_format_protocol(port)} in service '{port.service}' and {_format_protocol(rival)} in "
        f"service '{rival.service}' ({format_place(rival.at, port.at)})",
        "one protocol in both, or another port number",
    )


def _format_protocol(port: ServedPort) -> str:
    return port.transport if port.transport != "TCP" or not port.protocol else port.protocol.upper()
