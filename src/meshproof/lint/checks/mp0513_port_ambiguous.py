"""Port that must be said."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.lookup import find_values
from meshproof.inventory import Inventory
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route, RouteTable
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0513"


def check(project: Project) -> Iterator[Hit]:
    """Report each destination without a port, where proxies do not know which one to take."""
    inventory = project.inventory
    for table, route, destination in list_destinations(project):
        ports = inventory.list_ports(destination.host)
        if table.dialect != "VirtualService" or destination.port is not None or not ports:
            continue
        port_list, repair = ", ".join(map(str, ports)), f"port: {{number: {ports[0]}}}"
        is_clear = all(
            _is_port_clear(inventory, gateway.full_name, ports) for gateway in table.gateways
        )
        if len(ports) > 1 and not is_clear:
            message = f"has the ports {port_list}, and a gateway does not know which"
            yield Hit(destination.at, f"{destination.source_text} {message}", repair)
        elif called_port := _find_wrong_port(inventory, table, route, ports):
            noun = "port" if len(ports) == 1 else "ports"
            message = f"has the {noun} {port_list}, and sidecars ask for {called_port}"
            yield Hit(
                destination.at, f"{destination.source_text} {message}, which was called", repair
            )


def _find_wrong_port(
    inventory: Inventory, table: RouteTable, route: Route, ports: list[int]
) -> int | None:
    """Return a port of the rule's hosts that the destination does not have, None without one."""
    if not table.applies_to_mesh or route.protocol != "http" or _matches_on_port(route):
        return None
    called_ports = [port for host in table.hosts for port in inventory.list_ports(host.full_name)]
    return next((port for port in called_ports if port not in ports), None)


def _matches_on_port(route: Route) -> bool:
    """Say whether a match of the route has a condition on the port."""
    ports = find_values(route.value, "match", "port")
    return any(port.content is not None for port in ports)


def _is_port_clear(inventory: Inventory, gateway_name: str, ports: list[int]) -> bool:
    """Say whether the request gives the port: in sidecars, or at a gateway of these ports."""
    if gateway_name == MESH:
        return True
    gateway = inventory.gateways.get(gateway_name)
    return gateway is not None and all(server.number in ports for server in gateway.servers)
