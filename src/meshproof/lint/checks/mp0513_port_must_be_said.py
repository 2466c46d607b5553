"""Port that must be said."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Inventory, read_inventory
from meshproof.lint.model.route import Route, RouteTable
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0513"


def check(project: Project) -> Iterator[Hit]:
    """Report each destination whose port is left open, where proxies then ask for another."""
    around = read_inventory(project)
    for table, route, target in list_destinations(project):
        ports = around.list_ports(target.host)
        if table.dialect != "VirtualService" or target.port is not None or not ports:
            continue
        shown, repair = ", ".join(map(str, ports)), f"port: {{number: {ports[0]}}}"
        ways = (_served(around, table, name.full_name, ports) for name in table.gateways)
        if len(ports) > 1 and not all(ways):
            said = f"{target.source_text} has the ports {shown}, and a gateway does not know which"
            yield Hit(target.at, said, repair)
        elif called := _called(around, table, route, ports):
            has = f"has the {'port' if len(ports) == 1 else 'ports'} {shown}"
            said = f"{target.source_text} {has}, and sidecars ask for {called}, which was called"
            yield Hit(target.at, said, repair)


def _called(around: Inventory, table: RouteTable, route: Route, ports: list[int]) -> int | None:
    """Return a port of the rule's hosts that sidecars would ask for in vain."""
    if not table.applies_to_mesh or route.protocol != "http" or _asks_for_port(route):
        return None
    called = [port for host in table.hosts for port in around.list_ports(host.full_name)]
    return next((port for port in called if port not in ports), None)


def _asks_for_port(route: Route) -> bool:
    matches = route.value.get("match")
    return any(one.get("port") is not None for one in (matches.items() if matches else ()))


def _served(around: Inventory, table: RouteTable, gateway: str, ports: list[int]) -> bool:
    """Say whether the port is plain: in sidecars, or since the gateway has the same numbers."""
    if gateway == MESH:
        return True
    way = around.gateways.get(gateway)
    return way is not None and all(server.number in ports for server in way.servers)
