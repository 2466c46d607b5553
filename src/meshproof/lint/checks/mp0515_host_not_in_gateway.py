"""Host that the gateway does not serve."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.schema import find_closest_word
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.conditions import is_host_within
from meshproof.lint.model.inventory import Gateway, Inventory, read_inventory
from meshproof.lint.model.route import Reference, RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0515"


def check(project: Project) -> Iterator[Hit]:
    """Report each host of a rule, and each listener, that its gateway does not have."""
    around = read_inventory(project)
    for table in read_route_tables(project):
        for gateway in table.gateways:
            way = around.gateways.get(gateway.full_name)
            if way is None or not _whole(way):
                continue
            owner = table.document.namespace
            hosts = [host for server in way.servers for host in server.hosts_for(owner)]
            left = [host for host in table.hosts if not _served(host, hosts)]
            if left and (not table.applies_to_mesh or len(left) == len(table.hosts)):
                yield from (_hit(host, way, hosts) for host in left)
        if table.dialect in ("HTTPRoute", "GRPCRoute"):
            yield from _listeners(around, table)


def _whole(way: Gateway) -> bool:
    """Say whether all of a gateway's servers could be read."""
    return bool(way.servers) and all(one.hosts and all(one.hosts) for one in way.servers)


def _served(host: Reference, hosts: list[str]) -> bool:
    names = {host.source_text, host.full_name}
    return any(is_host_within(a, b) or is_host_within(b, a) for a in names for b in hosts)


def _hit(host: Reference, way: Gateway, hosts: list[str]) -> Hit:
    known = ", ".join(dict.fromkeys(hosts)) or "nothing of this namespace"
    return Hit(
        host.at,
        f"gateway {way.name} ({format_place(way.document.at, host.at)}) does not serve {host.source_text}, it "
        f"serves {known}",
        find_closest_word(host.source_text, hosts, 0.8)
        or f"add {host.source_text} to the hosts of a server",
    )


def _listeners(around: Inventory, table: RouteTable) -> Iterator[Hit]:
    for parent in find_values(read_spec(table.document), "parentRefs"):
        for section in find_values(parent, "sectionName"):
            content = parent.mapping()
            owner = read_text(content.get("namespace")) or table.document.namespace
            way = around.gateways.get(f"{owner}/{read_text(content.get('name'))}")
            names = [server.name for server in way.servers] if way else []
            if way is not None and read_text(section) and read_text(section) not in names:
                yield Hit(
                    section.at,
                    f"gateway {way.name} has no listener '{read_text(section)}'",
                    find_closest_word(read_text(section), names) or f"one of {', '.join(names)}",
                )
