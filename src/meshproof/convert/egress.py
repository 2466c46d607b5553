"""Reads which external hosts and ports EgressRules and ServiceEntries open, to compare both.

Each dialect is read on its own. So a converter that loses a host, a port or its TLS shows in the
comparison, and in requests to the host.
Source: routing/v1alpha1/egress_rule.proto of Istio 0.3 to 0.8; Istio reference, ServiceEntry and
DestinationRule (ClientTLSSettings).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshproof.documents.manifest import At, Document
from meshproof.inventory import destination_rules, service_entries
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.problems import raise_first_problem
from meshproof.inventory.tls import read_tls_settings
from meshproof.oracle.gaps import HTTP_PROTOCOLS
from meshproof.rules.legacy import egress_rule
from meshproof.rules.model import Route, RouteTable, RuleSet, Target


@dataclass(frozen=True)
class EgressEndpoint:
    """A port of an external host or address: its protocol, and whether the sidecar opens TLS."""

    host: str
    port: int
    protocol: str
    has_tls: bool
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.protocol}{', with TLS' if self.has_tls else ''})"

    @property
    def is_reachable_by_http(self) -> bool:
        """Say whether HTTP requests can be sent there."""
        return self.protocol in HTTP_PROTOCOLS and egress_rule.is_single_name(self.host)


def read_egress_rules(documents: Iterable[Document]) -> Iterator[EgressEndpoint]:
    """Yield the endpoints of EgressRules; for `https` the sidecar opens TLS."""
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
    """Yield the endpoints of ServiceEntries, with the TLS that DestinationRules open."""
    document_list = list(documents)
    rules = destination_rules.read_destination_rules(
        document for document in document_list if document.kind == destination_rules.KIND
    )
    tls_targets = {
        (setting.host, setting.port)
        for setting in read_tls_settings(rules)
        if setting.mode == "SIMPLE" and setting.port is not None
    }
    entries = service_entries.read_service_entries(
        document for document in document_list if document.kind == service_entries.KIND
    )
    raise_first_problem(entries)
    for entry in entries:
        for host in entry.addresses or entry.hosts:
            for port in entry.ports:
                has_tls = (host, port.number) in tls_targets
                protocol = port.protocol.lower()
                yield EgressEndpoint(host, port.number, protocol, has_tls, port.value.at)


def find_differences(
    source_endpoints: Iterable[EgressEndpoint], converted_endpoints: Iterable[EgressEndpoint]
) -> Iterator[str]:
    """Yield the endpoints that only one side has, with their places."""
    source_set, converted_set = set(source_endpoints), set(converted_endpoints)
    for endpoint in sorted(source_set - converted_set, key=lambda endpoint: endpoint.at):
        yield f"{endpoint.at}: the converted rules do not let out {endpoint}"
    for endpoint in sorted(converted_set - source_set, key=lambda endpoint: endpoint.at):
        yield f"{endpoint.at}: the converted rules let out {endpoint}, which no rule did"


def build_rule_set(endpoints: Iterable[EgressEndpoint]) -> RuleSet:
    """Return a route to each host that HTTP requests can be sent to, for its ports."""
    endpoints_by_host: dict[str, list[EgressEndpoint]] = {}
    for endpoint in filter(lambda endpoint: endpoint.is_reachable_by_http, endpoints):
        endpoints_by_host.setdefault(endpoint.host, []).append(endpoint)
    return RuleSet(
        tuple(
            _build_table(host, host_endpoints) for host, host_endpoints in endpoints_by_host.items()
        )
    )


def _build_table(host: str, endpoints: list[EgressEndpoint]) -> RouteTable:
    """Return the route table of one external host."""
    at, ports = endpoints[0].at, sorted({endpoint.port for endpoint in endpoints})
    route = Route((), (Target(host, (), 100, at=at),), at, f"way out to {host}")
    return RouteTable((host,), (route,), None, at, route.name, ports=tuple(ports))


def add_external_hosts(known_hosts: KnownHosts, rule_set: RuleSet) -> KnownHosts:
    """Return `known_hosts` and all hosts of `rule_set`, as external hosts with its ports."""
    ports = {host: table.ports for table in rule_set.tables for host in table.hosts}
    return replace(
        known_hosts,
        ports={**known_hosts.ports, **ports},
        external_hosts=tuple(dict.fromkeys((*known_hosts.external_hosts, *ports))),
    )
