"""What rules say of connections and of hosts outside, field by field, where no request proves it.

The local mesh sends requests to healthy workloads that echo them: it shows who answers and what
arrives. What only load, failures, TLS or a real network could show is named, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At, Document, Value
from meshproof.rules.legacy import egress_rule, ingress

_EQUALS = "which of several equal workloads answers says nothing of who may answer"
_LIMIT = "a limit shows only once it is exceeded, and no case sends that many requests at once"
_EJECTED = "it acts on workloads that fail, and those here do not"
_TLS = "the workload that stands for the host speaks plaintext"
_NOT_HTTP = "only HTTP is asked for"
_WHERE = "an echo workload on this machine stands for the host"
_MANY = "it stands for many hosts or addresses, and a workload for one host"
_POOL = "connectionPool"

#: Part of a trafficPolicy -> why none of its fields is proven.
_POLICY = {
    "loadBalancer": _EQUALS,
    _POOL: _LIMIT,
    "outlierDetection": _EJECTED,
    "tls": _TLS,
}
#: Keys of simpleCb (DestinationPolicy) that are about workloads that fail.
_EJECTING = (
    *("httpConsecutiveErrors", "httpDetectionInterval", "httpMaxEjectionPercent"),
    "sleepWindow",
)
#: Protocols that a port may have, as ServiceEntry and EgressRule write them, which are HTTP.
HTTP = ("grpc", "grpc-web", "http", "http2")


@dataclass(frozen=True)
class Unproven:
    """A field that no request proves: its place, its path in the document, and why."""

    at: At
    path: str
    because: str

    def __str__(self) -> str:
        return f"{self.at}: {self.path} is not proven by requests: {self.because}"


def fields(documents: Iterable[Document]) -> Iterator[Unproven]:
    """Yield the unproven fields of DestinationRules, ServiceEntries and their forerunners.

    And the class of an Ingress where no IngressClass among the documents says whose it is.
    """
    given = list(documents)
    classes = {one.name for one in given if one.kind == ingress.CLASS_KIND}
    for document in given:
        if document.kind == ingress.KIND:
            yield from _ingress(document, classes)
        found = _KINDS.get(document.kind)
        if found is not None:
            yield from found(document.spec)


def _ingress(document: Document, classes: Collection[str]) -> Iterator[Unproven]:
    named = ingress.class_name(document)
    if named is None or ingress.annotated(document) is not None:
        return
    if named.content not in classes:
        because = f"there is no IngressClass '{named.text()}' that says that Istio serves it"
        yield Unproven(named.at, named.path, because)


def _destination_rule(spec: Value) -> Iterator[Unproven]:
    subsets = spec.get("subsets")
    for holder in (spec, *(subsets.items() if subsets is not None else ())):
        policy = holder.get("trafficPolicy")
        if policy is None:
            continue
        yield from _policy(policy)
        ports = policy.get("portLevelSettings")
        for one in ports.items() if ports is not None else ():
            yield from _policy(one)


def _policy(policy: Value) -> Iterator[Unproven]:
    for key, because in _POLICY.items():
        yield from _leaves(policy.get(key), because)


def _destination_policy(spec: Value) -> Iterator[Unproven]:
    yield from _leaves(spec.get("loadBalancing"), _EQUALS)
    breaker = spec.get("circuitBreaker")
    for value in breaker.mapping().values() if breaker is not None else ():
        for one in _leaves(value, _LIMIT):
            ejects = one.path.rpartition(".")[2] in _EJECTING
            yield Unproven(one.at, one.path, _EJECTED) if ejects else one


def _egress_rule(spec: Value) -> Iterator[Unproven]:
    host = spec.need("destination").need("service")
    if not egress_rule.is_one(host.text()):
        yield Unproven(host.at, host.path, _MANY)
    yield from _leaves(spec.get("useEgressProxy"), "there is no egress gateway here")
    for port in spec.need("ports").items():
        protocol = port.need("protocol")
        if protocol.text().lower() == "https":
            yield Unproven(protocol.at, protocol.path, _TLS)
        else:
            yield from _protocol(protocol)


def _service_entry(spec: Value) -> Iterator[Unproven]:
    ports = spec.get("ports")
    for port in ports.items() if ports is not None else ():
        protocol = port.get("protocol")
        if protocol is not None:
            yield from _protocol(protocol)
    for key in ("addresses", "endpoints", "resolution"):
        found = spec.get(key)
        if found is not None:
            yield Unproven(found.at, found.path, _WHERE)


def _protocol(protocol: Value) -> Iterator[Unproven]:
    if protocol.text().lower() not in HTTP:
        yield Unproven(protocol.at, protocol.path, _NOT_HTTP)


_KINDS = {
    "DestinationPolicy": _destination_policy,
    "DestinationRule": _destination_rule,
    "EgressRule": _egress_rule,
    "ServiceEntry": _service_entry,
}


def _leaves(value: Value | None, because: str) -> Iterator[Unproven]:
    """Yield every field below a value that has no fields of its own."""
    if value is None or value.content is None:
        return
    if isinstance(value.content, dict):
        for one in value.mapping().values():
            yield from _leaves(one, because)
    else:
        yield Unproven(value.at, value.path, because)
