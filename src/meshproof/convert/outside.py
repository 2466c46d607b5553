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
from meshproof.oracle.gaps import HTTP
from meshproof.rules.legacy import egress_rule
from meshproof.rules.model import Route, RouteTable, RuleSet, Target


@dataclass(frozen=True)
class Exit:
    """A host (or its addresses) outside, a port of it, what is spoken there, who opens TLS."""

    host: str
    port: int
    protocol: str
    tls: bool
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.protocol}{', with TLS' if self.tls else ''})"

    @property
    def asked(self) -> bool:
        """Say whether a request can be sent there."""
        return self.protocol in HTTP and egress_rule.is_one(self.host)


def of_egress_rules(documents: Iterable[Document]) -> Iterator[Exit]:
    """Yield what EgressRules let out. `https` there: callers speak HTTP, the sidecar opens TLS."""
    for one in documents:
        if one.kind == egress_rule.KIND:
            host = one.spec.need("destination").need("service")
            for port in one.spec.need("ports").items():
                word = port.need("protocol").text().lower()
                tls = word == "https"
                number = port.need("port").integer(1, 65535)
                yield Exit(host.text(), number, "http" if tls else word, tls, port.at)


def of_service_entries(documents: Iterable[Document]) -> Iterator[Exit]:
    """Yield what ServiceEntries let out, with the TLS that DestinationRules open there."""
    known = list(documents)
    opened = {key for one in known if one.kind == "DestinationRule" for key in _opened(one)}
    for one in known:
        if one.kind == "ServiceEntry":
            addresses = one.spec.get("addresses")
            hosts = addresses if addresses is not None else one.spec.need("hosts")
            for host in hosts.items():
                for port in one.spec.need("ports").items():
                    number = port.need("number").integer(1, 65535)
                    tls = (host.text(), number) in opened
                    protocol = port.need("protocol").text().lower()
                    yield Exit(host.text(), number, protocol, tls, port.at)


def _opened(rule: Document) -> Iterator[tuple[str, int]]:
    policy = rule.spec.get("trafficPolicy")
    ports = policy.get("portLevelSettings") if policy is not None else None
    for one in ports.items() if ports is not None else ():
        tls = one.get("tls")
        if tls is not None and tls.need("mode").text() == "SIMPLE":
            yield rule.spec.need("host").text(), one.need("port").need("number").integer(1, 65535)


def differences(theirs: Iterable[Exit], ours: Iterable[Exit]) -> Iterator[str]:
    """Yield what is let out by one side and not by the other, with its place."""
    before, after = set(theirs), set(ours)
    for one in sorted(before - after, key=lambda it: it.at):
        yield f"{one.at}: the converted rules do not let out {one}"
    for one in sorted(after - before, key=lambda it: it.at):
        yield f"{one.at}: the converted rules let out {one}, which no rule did"


def tables(exits: Iterable[Exit]) -> RuleSet:
    """Return a route to each host that requests can be sent to, for its ports."""
    found: dict[str, list[Exit]] = {}
    for one in filter(lambda it: it.asked, exits):
        found.setdefault(one.host, []).append(one)
    return RuleSet(tuple(_route(host, own) for host, own in found.items()))


def _route(host: str, exits: list[Exit]) -> RouteTable:
    at, ports = exits[0].at, sorted({one.port for one in exits})
    route = Route((), (Target(host, (), 100, at=at),), at, f"way out to {host}")
    return RouteTable((host,), (route,), None, at, route.name, ports=tuple(ports))


def around(known: Inventory, ways: RuleSet) -> Inventory:
    """Return the surroundings in which the hosts of these ways out are known, at their ports."""
    ports = {host: table.ports for table in ways.tables for host in table.hosts}
    return replace(
        known,
        ports={**known.ports, **ports},
        outside=tuple(dict.fromkeys((*known.outside, *ports))),
    )
