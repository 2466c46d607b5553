"""Plain HTTP to a TLS port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.documents.lookup import find_values, get_value, read_spec, read_text
from meshproof.inventory import Inventory
from meshproof.inventory.gateways import GATEWAY_API_GROUP
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import WrittenDestination

CODE = "MP0606"

_TLS = ("https", "tls")


def check(project: Project) -> Iterator[Hit]:
    """Report each destination of an HTTP route that expects TLS and gets none."""
    inventory = project.inventory
    hosts_with_tls = {
        setting.host for setting in inventory.tls_settings if setting.mode not in ("", "DISABLE")
    } | set(_list_backend_policies(project))
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            for destination in (*route.destinations, *route.mirrors):
                protocol = _find_protocol(inventory, destination)
                if destination.host in hosts_with_tls or protocol not in _TLS:
                    continue
                yield Hit(
                    destination.at,
                    f"{route.name} sends plain HTTP to {destination.source_text}, whose port is "
                    f"{protocol.upper()}",
                    f"a DestinationRule for {destination.source_text} with tls: {{mode: SIMPLE}}",
                )


def _list_backend_policies(project: Project) -> Iterator[str]:
    """Yield the hosts of the Services to which a BackendTLSPolicy begins TLS."""
    for document in project.named_documents("BackendTLSPolicy", group=GATEWAY_API_GROUP):
        for target in find_values(read_spec(document), "targetRefs"):
            if name := read_text(get_value(target, "name")):
                yield f"{name}.{document.namespace}.{CLUSTER_DOMAIN}"


def _find_protocol(inventory: Inventory, destination: WrittenDestination) -> str:
    """Return the protocol of the port of a destination, lower case, or "" where it is unknown."""
    ports = inventory.list_ports(destination.host)
    port_content = destination.port.content if destination.port is not None else None
    number = port_content if isinstance(port_content, int) else (ports[0] if len(ports) == 1 else 0)
    service = inventory.services.get(destination.host)
    entry = inventory.find_service_entry(destination.host)
    if service is not None:
        return service.find_protocol(number)
    for port in entry.ports if entry is not None else ():
        if port.number == number:
            return port.protocol.lower()
    return ""
