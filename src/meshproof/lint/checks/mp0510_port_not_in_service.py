"""Port that the service does not have."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import (
    gets_requests,
    list_destinations,
    read_route_tables,
)

CODE = "MP0510"


def check(project: Project) -> Iterator[Hit]:
    """Report each port of a rule that the service of its host does not have."""
    for host, port, level in _list_used_ports(project):
        service_ports = project.inventory.list_ports(host)
        if service_ports and isinstance(port.content, int) and port.content not in service_ports:
            port_list = ", ".join(map(str, service_ports))
            repair = str(service_ports[0]) if len(service_ports) == 1 else f"one of {port_list}"
            message = f"{host} has no port {port.content}, it has {port_list}"
            yield Hit(port.at, message, repair, level)
    for table in read_route_tables(project):
        if [gateway.full_name for gateway in table.gateways] == [MESH]:
            yield from _check_matched_ports(project, table)


def _list_used_ports(project: Project) -> Iterator[tuple[str, Value, Level | None]]:
    """Yield host, port and level of each destination and of each port setting.

    Only a destination that gets requests makes some fail.
    """
    for _, route, destination in list_destinations(project):
        if destination.port is not None:
            level = None if gets_requests(route, destination) else Level.WARNING
            yield destination.host, destination.port, level
    for rule in project.inventory.destination_rules:
        settings = find_values(read_spec(rule.document), "trafficPolicy", "portLevelSettings")
        for setting in settings:
            for port in find_values(setting, "port", "number"):
                yield rule.host, port, Level.WARNING


def _check_matched_ports(project: Project, table: RouteTable) -> Iterator[Hit]:
    """Report each match on a port that none of the rule's hosts has."""
    ports_by_host = [project.inventory.list_ports(host.full_name) for host in table.hosts]
    if not ports_by_host or not all(ports_by_host):
        return
    known_ports = sorted({number for host_ports in ports_by_host for number in host_ports})
    for route in table.routes:
        for condition in (condition for match in route.matches for condition in match.conditions):
            if condition.part == "port" and condition.text not in map(str, known_ports):
                port_list = ", ".join(map(str, known_ports))
                hosts = ", ".join(host.source_text for host in table.hosts)
                yield Hit(
                    condition.at,
                    f"{route.name} never matches: {hosts} has port {port_list}",
                    port_list,
                    Level.WARNING,
                )
