"""The Service ports that HTTP routes use, with the protocol that each declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At
from meshproof.inventory.index import shorten_host
from meshproof.inventory.services import Service
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables

#: What Istio knows as a protocol (istio.io, "Protocol Selection").
PROTOCOLS = (
    "grpc",
    "grpc-web",
    "http",
    "http2",
    "https",
    "mongo",
    "mysql",
    "redis",
    "tcp",
    "tls",
    "udp",
)


@dataclass(frozen=True)
class RoutedPort:
    """A port of a Service, its declared protocol, and the rule that uses it."""

    host: str
    number: int
    name: str
    protocol: str
    declaration: str
    at: At
    rule: str


def find_routed_ports(project: Project) -> Iterator[RoutedPort]:
    """Yield the ports of each Service that HTTP routes send to.

    Those are the ports that a rule names. If no rule names one, they are all ports, but only if
    none of them declares HTTP.
    """
    inventory = project.inventory
    for host, (rule, named_ports) in _find_rules_by_host(project).items():
        service = inventory.services.get(host)
        if service is None:
            continue
        numbers = [number.number for number in service.ports]
        routed_numbers = (
            [number for number in numbers if number in named_ports] if named_ports else numbers
        )
        protocols = {service.find_protocol(number) for number in routed_numbers}
        if named_ports or not protocols & {"http", "http2", "grpc", "grpc-web", "https"}:
            for number in routed_numbers:
                yield from _read_routed_port(service, number, rule)


def _find_rules_by_host(project: Project) -> dict[str, tuple[str, set[int]]]:
    """Return by host the first rule with an HTTP route to it, and the ports named."""
    rules_by_host: dict[str, tuple[str, set[int]]] = {}
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            rule = f"{table.dialect} '{route.document.name}'"
            for destination in (*route.destinations, *route.mirrors):
                _, ports = rules_by_host.setdefault(destination.host, (rule, set()))
                if destination.port is not None and isinstance(destination.port.content, int):
                    ports.add(destination.port.content)
    return rules_by_host


def _read_routed_port(service: Service, number: int, rule: str) -> Iterator[RoutedPort]:
    """Yield the port with this number, unless it is UDP."""
    for port in service.ports:
        content = port.value.mapping()
        if port.number != number or port.transport == "UDP":
            continue
        name, app_protocol = port.name, port.app_protocol
        key = "appProtocol" if app_protocol else "name"
        at = content[key].at if key in content else port.value.at
        declaration = f"{key} '{app_protocol or name}'" if app_protocol or name else ""
        protocol = service.find_protocol(number)
        yield RoutedPort(shorten_host(service.host), number, name, protocol, declaration, at, rule)
