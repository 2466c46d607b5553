"""Plain HTTP to a TLS port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Inventory, read_inventory, read_protocol
from meshproof.lint.model.route import Destination
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.lint.model.tls import read_tls_settings

CODE = "MP0606"

_TLS = ("https", "tls")


def check(project: Project) -> Iterator[Hit]:
    """Report each destination of an HTTP route that expects TLS and gets none."""
    around = read_inventory(project)
    begun = {one.host for one in read_tls_settings(around) if one.mode not in ("", "DISABLE")}
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            for target in (*route.destinations, *route.mirrors):
                if target.host in begun or _protocol(around, target) not in _TLS:
                    continue
                yield Hit(
                    target.at,
                    f"{route.name} sends plain HTTP to {target.source_text}, whose port is "
                    f"{_protocol(around, target).upper()}",
                    f"a DestinationRule for {target.source_text} with tls: {{mode: SIMPLE}}",
                )


def _protocol(around: Inventory, target: Destination) -> str:
    """Return the protocol of the port that is sent to, lower case, empty where not known."""
    ports = around.list_ports(target.host)
    wanted = target.port.content if target.port is not None else None
    number = wanted if isinstance(wanted, int) else (ports[0] if len(ports) == 1 else 0)
    service, entry = around.services.get(target.host), around.find_service_entry(target.host)
    if service is not None:
        return read_protocol(service, number)
    for port in entry.ports if entry is not None else ():
        if port.number == number:
            return port.protocol.lower()
    return ""
