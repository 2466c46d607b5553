"""Port that the service does not have."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import list_destinations, read_route_tables

CODE = "MP0510"


def check(project: Project) -> Iterator[Hit]:
    """Report each port of a rule that the service of its host does not have."""
    for host, port in _ports(project):
        known = read_inventory(project).list_ports(host)
        if known and isinstance(port.content, int) and port.content not in known:
            shown = ", ".join(map(str, known))
            repair = str(known[0]) if len(known) == 1 else f"one of {shown}"
            yield Hit(port.at, f"{host} has no port {port.content}, it has {shown}", repair)
    for table in read_route_tables(project):
        if [one.full_name for one in table.gateways] == [MESH]:
            yield from _matched(project, table)


def _ports(project: Project) -> Iterator[tuple[str, Value]]:
    for _, _, target in list_destinations(project):
        if target.port is not None:
            yield target.host, target.port
    for policy in read_inventory(project).destination_rules:
        settings = find_values(read_spec(policy.document), "trafficPolicy", "portLevelSettings")
        for one in settings:
            for port in find_values(one, "port", "number"):
                yield policy.host, port


def _matched(project: Project, table: RouteTable) -> Iterator[Hit]:
    """Report a match on a port that none of the rule's hosts has."""
    ports = [read_inventory(project).list_ports(host.full_name) for host in table.hosts]
    if not ports or not all(ports):
        return
    known = sorted({number for each in ports for number in each})
    for route in table.routes:
        for one in (one for match in route.matches for one in match.conditions):
            if one.part == "port" and one.text not in map(str, known):
                shown = ", ".join(map(str, known))
                hosts = ", ".join(host.source_text for host in table.hosts)
                yield Hit(one.at, f"{route.name} never matches: {hosts} has port {shown}", shown)
