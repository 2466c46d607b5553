"""Port that the service does not have.

The rule sends to a port, settles something for a port, or matches on a port that the Service or
ServiceEntry of the host does not have. What counts is the port of the service, not that of the pod.

Why: there is no cluster for it in Envoy, so that the requests get 503; settings for it do nothing;
a match on it never holds.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 80
        targetPort: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
            port:
              number: 9080

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 80
        targetPort: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
            port:
              number: 80
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values, read_spec
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import list_destinations, read_route_tables

CODE = "MP0510"
LEVEL = Level.ERROR


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
