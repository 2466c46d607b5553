"""The ports of services that HTTP rules are for, with the protocol that each declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At
from meshproof.lint.engine.project import Project, ServiceObject, text
from meshproof.lint.model.inventory import short, speaks_http, surroundings
from meshproof.lint.model.route_tables import tables

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
    """A port of a service, where it stands, and the rule that is for it."""

    host: str
    number: int
    name: str
    protocol: str
    said: str
    at: At
    rule: str


def routed_ports(project: Project) -> Iterator[RoutedPort]:
    """Yield the ports of each service that HTTP rules send to.

    That are the ports that a rule names; where none is named, all of them, but only if none of them
    is HTTP.
    """
    around = surroundings(project)
    for host, (rule, named) in _rules(project).items():
        service = around.services.get(host)
        if service is None:
            continue
        numbers = [one.number for one in service.ports]
        wanted = [one for one in numbers if one in named] if named else numbers
        spoken = {speaks_http(service, one) for one in wanted}
        if named or not spoken & {"http", "http2", "grpc", "grpc-web", "https"}:
            for number in wanted:
                yield from _port(service, number, rule)


def _rules(project: Project) -> dict[str, tuple[str, set[int]]]:
    """Return the hosts that HTTP routes send to: the first such rule, and the ports it names."""
    found: dict[str, tuple[str, set[int]]] = {}
    for table in tables(project):
        for route in table.of("http"):
            rule = f"{table.dialect} '{route.document.name}'"
            for target in (*route.targets, *route.mirrors):
                _, ports = found.setdefault(target.host, (rule, set()))
                if target.port is not None and isinstance(target.port.content, int):
                    ports.add(target.port.content)
    return found


def _port(service: ServiceObject, number: int, rule: str) -> Iterator[RoutedPort]:
    for port in service.ports:
        content = port.value.mapping()
        if port.number != number or text(content.get("protocol")) == "UDP":
            continue
        name, declared = port.name, port.app_protocol
        key = "appProtocol" if declared else "name"
        at = content[key].at if key in content else port.value.at
        said = f"{key} '{declared or name}'" if declared or name else ""
        protocol = speaks_http(service, number)
        yield RoutedPort(short(service.host), number, name, protocol, said, at, rule)
