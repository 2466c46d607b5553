"""The way out of the mesh, as EgressRules and as ServiceEntries say it: which host at which port.

Each dialect is read by itself, so that a converter that loses a host, a port or the TLS of one is
seen: in the comparison, and by requests that are to reach the host.
Source: routing/v1alpha1/egress_rule.proto of Istio 0.3 to 0.8; Istio reference, ServiceEntry and
DestinationRule (ClientTLSSettings).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshproof.documents.manifest import At, Document
from meshproof.inventory import Inventory
from meshproof.oracle.gaps import HTTP_PROTOCOLS
from meshproof.rules.legacy import egress_rule
from meshproof.rules.model import Route, RouteTable, RuleSet, Target


@dataclass(frozen=True)
class EgressEndpoint:
    """A host (or its addresses) outside, a port of it, what is spoken there, who opens TLS."""

    host: str
    port: int
    protocol: str
    has_tls: bool
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.protocol}{', with TLS' if self.has_tls else ''})"

    @property
    def is_reachable_by_http(self) -> bool:
        """Say whether a request can be sent there."""
        return self.protocol in HTTP_PROTOCOLS and egress_rule.is_single_name(self.host)


def read_egress_rules(documents: Iterable[Document]) -> Iterator[EgressEndpoint]:
    """Yield what EgressRules let out. `https` there: callers speak HTTP, the sidecar opens TLS."""
    for document in documents:
        if document.kind == egress_rule.KIND:
            host = document.spec.need("destination").need("service")
            for port in document.spec.need("ports").items():
                protocol = port.need("protocol").text().lower()
                has_tls = protocol == "https"
                number = port.need("port").integer(1, 65535)
                yield EgressEndpoint(
                    host.text(), number, "http" if has_tls else protocol, has_tls, port.at
                )


def read_service_entries(documents: Iterable[Document]) -> Iterator[EgressEndpoint]:
    """Yield what ServiceEntries let out, with the TLS that DestinationRules open there."""
    documents_list = list(documents)
    tls_targets = {
        key
        for document in documents_list
        if document.kind == "DestinationRule"
        for key in _iter_tls_targets(document)
    }
    for document in documents_list:
        if document.kind == "ServiceEntry":
            addresses = document.spec.get("addresses")
            hosts = addresses if addresses is not None else document.spec.need("hosts")
            for host in hosts.items():
                for port in document.spec.need("ports").items():
                    number = port.need("number").integer(1, 65535)
                    has_tls = (host.text(), number) in tls_targets
                    protocol = port.need("protocol").text().lower()
                    yield EgressEndpoint(host.text(), number, protocol, has_tls, port.at)


def _iter_tls_targets(rule: Document) -> Iterator[tuple[str, int]]:
    policy = rule.spec.get("trafficPolicy")
    ports = policy.get("portLevelSettings") if policy is not None else None
    for port_settings in ports.items() if ports is not None else ():
        tls = port_settings.get("tls")
        if tls is not None and tls.need("mode").text() == "SIMPLE":
            yield (
                rule.spec.need("host").text(),
                port_settings.need("port").need("number").integer(1, 65535),
            )


def find_differences(
    theirs: Iterable[EgressEndpoint], ours: Iterable[EgressEndpoint]
) -> Iterator[str]:
    """Yield what is let out by one side and not by the other, with its place."""
    before, after = set(theirs), set(ours)
    for endpoint in sorted(before - after, key=lambda endpoint: endpoint.at):
        yield f"{endpoint.at}: the converted rules do not let out {endpoint}"
    for endpoint in sorted(after - before, key=lambda endpoint: endpoint.at):
        yield f"{endpoint.at}: the converted rules let out {endpoint}, which no rule did"


def build_rule_set(endpoints: Iterable[EgressEndpoint]) -> RuleSet:
    """Return a route to each host that requests can be sent to, for its ports."""
    endpoints_by_host: dict[str, list[EgressEndpoint]] = {}
    for endpoint in filter(lambda endpoint: endpoint.is_reachable_by_http, endpoints):
        endpoints_by_host.setdefault(endpoint.host, []).append(endpoint)
    return RuleSet(
        tuple(
            _build_table(host, host_endpoints) for host, host_endpoints in endpoints_by_host.items()
        )
    )


def _build_table(host: str, endpoints: list[EgressEndpoint]) -> RouteTable:
    at, ports = endpoints[0].at, sorted({endpoint.port for endpoint in endpoints})
    route = Route((), (Target(host, (), 100, at=at),), at, f"way out to {host}")
    return RouteTable((host,), (route,), None, at, route.name, ports=tuple(ports))


def add_to_inventory(inventory: Inventory, rule_set: RuleSet) -> Inventory:
    """Return the surroundings in which the hosts of these ways out are known, at their ports."""
    ports = {host: table.ports for table in rule_set.tables for host in table.hosts}
    return replace(
        inventory,
        ports={**inventory.ports, **ports},
        external_hosts=tuple(dict.fromkeys((*inventory.external_hosts, *ports))),
    )
