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
from meshproof.lint.engine.project import Project, children, spec
from meshproof.lint.model.inventory import surroundings
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import tables, targets

CODE = "MP0510"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each port of a rule that the service of its host does not have."""
    for host, port in _ports(project):
        known = surroundings(project).ports(host)
        if known and isinstance(port.content, int) and port.content not in known:
            shown = ", ".join(map(str, known))
            repair = str(known[0]) if len(known) == 1 else f"one of {shown}"
            yield Hit(port.at, f"{host} has no port {port.content}, it has {shown}", repair)
    for table in tables(project):
        if [one.full for one in table.gateways] == [MESH]:
            yield from _matched(project, table)


def _ports(project: Project) -> Iterator[tuple[str, Value]]:
    for _, _, target in targets(project):
        if target.port is not None:
            yield target.host, target.port
    for policy in surroundings(project).policies:
        settings = children(spec(policy.document), "trafficPolicy", "portLevelSettings")
        for one in settings:
            for port in children(one, "port", "number"):
                yield policy.host, port


def _matched(project: Project, table: RouteTable) -> Iterator[Hit]:
    """Report a match on a port that none of the rule's hosts has."""
    ports = [surroundings(project).ports(host.full) for host in table.hosts]
    if not ports or not all(ports):
        return
    known = sorted({number for each in ports for number in each})
    for route in table.routes:
        for one in (one for match in route.matches for one in match.conditions):
            if one.part == "port" and one.text not in map(str, known):
                shown = ", ".join(map(str, known))
                hosts = ", ".join(host.written for host in table.hosts)
                yield Hit(one.at, f"{route.name} never matches: {hosts} has port {shown}", shown)
