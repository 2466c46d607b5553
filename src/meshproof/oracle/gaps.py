"""Finds the fields of rules that no request proves.

The local mesh sends requests to healthy workloads that echo them: this shows who answers and what
arrives. Fields whose effect needs load, failures, TLS or a real network are listed with the
reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import At, Document, Value
from meshproof.inventory.destination_rules import read_destination_rules
from meshproof.inventory.gateways import read_gateways
from meshproof.inventory.service_entries import read_service_entries
from meshproof.rules.legacy import egress_rule, ingress

_EQUAL_WORKLOADS = "which of several equal workloads answers says nothing of who may answer"
_ONE_POD = "no case shows on which of several pods a key keeps its requests"
_TABLE = "how evenly keys spread over pods says nothing of which requests stay together"
_ONE_PLACE = "all echo workloads are in one place"
_NEEDS_LOAD = "a limit shows only once it is exceeded, and no case sends that many requests at once"
_NEEDS_FAILURES = "it acts on workloads that fail, and those here do not"
_NEEDS_TLS = "the workload that stands for the host speaks plaintext"
_OWN_CERTIFICATE = "the host that is stood in for has a certificate of the run"
_NOT_HTTP = "only HTTP is asked for"
_NEEDS_ADDRESS = "an echo workload on this machine stands for the host"
_MANY_HOSTS = "it stands for many hosts or addresses, and a workload for one host"
_EVERY_WAY = "a case reaches the proxy whichever way its listener takes connections"
_NO_INBOUND = "the workload that stands for a pod has no listeners of a Sidecar"
_POOL = "connectionPool"
_HASH = "consistentHash"
_HASH_PATH = ("loadBalancer", _HASH)
#: Keys of a consistentHash that say how large its table is.
_TABLE_KEYS = ("maglev", "minimumRingSize", "ringHash")

#: Part of a trafficPolicy -> why none of its fields is proven.
_POLICY_REASONS = {
    "loadBalancer": _EQUAL_WORKLOADS,
    _POOL: _NEEDS_LOAD,
    "outlierDetection": _NEEDS_FAILURES,
    "tls": _NEEDS_TLS,
}
#: Path below the spec of a Sidecar -> why it is not proven.
_SIDECAR_REASONS = {
    ("egress", "bind"): _EVERY_WAY,
    ("egress", "captureMode"): _EVERY_WAY,
    ("inboundConnectionPool",): _NEEDS_LOAD,
    ("ingress",): _NO_INBOUND,
    ("outboundTrafficPolicy", "egressProxy"): "Istio does not look at it",
}
#: Keys of a loadBalancer -> the reason, where it is another than that of the rest.
_BALANCER_REASONS = {
    "localityLbSetting": _ONE_PLACE,
    "zoneAwareLbSetting": _ONE_PLACE,
}
#: Keys of simpleCb (DestinationPolicy) that are about workloads that fail.
_EJECTION_KEYS = (
    *("httpConsecutiveErrors", "httpDetectionInterval", "httpMaxEjectionPercent"),
    "sleepWindow",
)
_OWN_CERTIFICATE = "a certificate of the run stands for it"
_OWN_CLIENT = "clients of the run take every version and cipher that the gateway offers"
_OWN_CLIENT_CERTIFICATE = (
    "clients of the run have certificates of the run, and no other is asked for"
)
#: Keys of TLS at a Gateway that say which clients it takes: the reason of each.
_CLIENT_KEYS = {
    **dict.fromkeys(("cipherSuites", "maxProtocolVersion", "minProtocolVersion"), _OWN_CLIENT),
    **dict.fromkeys(
        ("subjectAltNames", "verifyCertificateHash", "verifyCertificateSpki"),
        _OWN_CLIENT_CERTIFICATE,
    ),
}
#: Protocols that a port may have, as ServiceEntry and EgressRule write them, which are HTTP.
HTTP_PROTOCOLS = ("grpc", "grpc-web", "http", "http2")


@dataclass(frozen=True)
class UnprovenField:
    """A field that no request proves: its position, its path in the document, and the reason."""

    at: At
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.at}: {self.path} is not proven by requests: {self.reason}"


def find_unproven_fields(
    documents: Iterable[Document], shown_keys: Collection[At] = ()
) -> Iterator[UnprovenField]:
    """Yield the unproven fields of DestinationRules, ServiceEntries, Sidecars and predecessors.

    `shown_keys` are where the keys of a consistentHash stand that a case proves.

    Also yields the class of an Ingress that no IngressClass in the documents defines.
    """
    known_documents = list(documents)
    class_names = {
        document.name for document in known_documents if document.kind == ingress.CLASS_KIND
    }
    for document in known_documents:
        if document.kind == ingress.KIND:
            yield from _check_ingress_class(document, class_names)
        check = _CHECKS.get(document.kind)
        if check is not None:
            yield from check(document)
        if document.kind == "DestinationRule":
            yield from _check_hashes(document, shown_keys)


def _check_ingress_class(
    document: Document, class_names: Collection[str]
) -> Iterator[UnprovenField]:
    """Yield the class of an Ingress if no IngressClass in the documents defines it."""
    class_name = ingress.get_class_name(document)
    if class_name is None or ingress.get_class_annotation(document) is not None:
        return
    if class_name.content not in class_names:
        reason = f"there is no IngressClass '{class_name.text()}' that says that Istio serves it"
        yield UnprovenField(class_name.at, class_name.path, reason)


def _check_destination_rule(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of a DestinationRule's traffic policies."""
    for rule in read_destination_rules([document]):
        is_outside = not rule.host.endswith(f".{CLUSTER_DOMAIN}")
        for policy in rule.traffic_policies:
            yield from _check_policy(policy, is_outside)
            for port in policy.entries("portLevelSettings"):
                yield from _check_policy(port, is_outside)


def _check_policy(policy: Value, is_outside: bool) -> Iterator[UnprovenField]:
    """Yield the unproven fields of a traffic policy, for a host outside or a service."""
    for key, reason in _POLICY_REASONS.items():
        value = policy.get(key)
        if key == "tls" and value is not None and is_outside:
            fields = _list_leaf_fields(value, _OWN_CERTIFICATE)
            yield from (field for field in fields if not field.path.endswith(".mode"))
            continue
        if key == "loadBalancer" and value is not None and isinstance(value.content, dict):
            for name, setting in value.mapping().items():
                if name != _HASH:
                    yield from _list_leaf_fields(setting, _BALANCER_REASONS.get(name, reason))
        else:
            yield from _list_leaf_fields(value, reason)


def _check_hashes(document: Document, shown_keys: Collection[At]) -> Iterator[UnprovenField]:
    """Yield the fields of the consistentHashes of a DestinationRule that no case shows."""
    for rule in read_destination_rules([document]):
        for policy in rule.traffic_policies:
            parts = [policy, *policy.entries("portLevelSettings")]
            for pod_hash in (value for part in parts for value in find_values(part, *_HASH_PATH)):
                for key, value in pod_hash.mapping().items():
                    if key in _TABLE_KEYS:
                        yield from _list_leaf_fields(value, _TABLE)
                    elif value.at not in shown_keys:
                        yield from _list_leaf_fields(value, _ONE_POD)
                    elif key == "httpCookie":
                        yield from _list_leaf_fields(value.get("attributes"), _ONE_POD)


def _check_peer_authentication(document: Document) -> Iterator[UnprovenField]:
    """Yield the fields of a PeerAuthentication: workloads without sidecars stand for all."""
    spec = document.root.mapping().get("spec")
    for key in ("mtls", "portLevelMtls"):
        for value in find_values(spec, key):
            yield from _list_leaf_fields(value, _NEEDS_TLS)


def _check_destination_policy(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of a DestinationPolicy."""
    spec = document.spec
    yield from _list_leaf_fields(spec.get("loadBalancing"), _EQUAL_WORKLOADS)
    breaker = spec.get("circuitBreaker")
    for value in breaker.mapping().values() if breaker is not None else ():
        for field in _list_leaf_fields(value, _NEEDS_LOAD):
            is_about_ejection = field.path.rpartition(".")[2] in _EJECTION_KEYS
            yield (
                UnprovenField(field.at, field.path, _NEEDS_FAILURES) if is_about_ejection else field
            )


def _check_egress_rule(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of an EgressRule."""
    spec = document.spec
    host = spec.need("destination").need("service")
    if not egress_rule.is_single_name(host.text()):
        yield UnprovenField(host.at, host.path, _MANY_HOSTS)
    yield from _list_leaf_fields(spec.get("useEgressProxy"), "there is no egress gateway here")
    for port in spec.need("ports").items():
        protocol = port.need("protocol")
        if protocol.text().lower() == "https":
            yield UnprovenField(protocol.at, protocol.path, _NEEDS_TLS)
        else:
            yield from _check_protocol(protocol)


def _check_gateway(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of TLS at a Gateway: which certificate it is, and which clients."""
    for gateway in read_gateways([document]):
        for server in gateway.servers:
            content = server.tls.content if server.tls is not None else None
            for key, value in content.items() if isinstance(content, dict) else ():
                if key not in ("httpsRedirect", "mode"):
                    reason = _CLIENT_KEYS.get(key, _OWN_CERTIFICATE)
                    yield UnprovenField(value.at, value.path, reason)


def _check_service_entry(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of a ServiceEntry."""
    for entry in read_service_entries([document]):
        for port in entry.ports:
            protocol = port.value.get("protocol")
            if protocol is not None and port.number not in entry.tls_ports:
                yield from _check_protocol(protocol)
    for key in ("addresses", "endpoints", "resolution", "workloadSelector", "subjectAltNames"):
        value = document.spec.get(key)
        if value is not None:
            reason = _NEEDS_TLS if key == "subjectAltNames" else _NEEDS_ADDRESS
            yield UnprovenField(value.at, value.path, reason)


def _check_sidecar(document: Document) -> Iterator[UnprovenField]:
    """Yield the unproven fields of a Sidecar: all but which hosts its proxies reach."""
    for path, reason in _SIDECAR_REASONS.items():
        for value in find_values(document.root, "spec", *path):
            if value.content is not None:
                yield UnprovenField(value.at, value.path, reason)


def _check_protocol(protocol: Value) -> Iterator[UnprovenField]:
    """Yield the protocol of a port if it is not HTTP."""
    if protocol.text().lower() not in HTTP_PROTOCOLS:
        yield UnprovenField(protocol.at, protocol.path, _NOT_HTTP)


_CHECKS = {
    "DestinationPolicy": _check_destination_policy,
    "DestinationRule": _check_destination_rule,
    "PeerAuthentication": _check_peer_authentication,
    "EgressRule": _check_egress_rule,
    "Gateway": _check_gateway,
    "ServiceEntry": _check_service_entry,
    "Sidecar": _check_sidecar,
}


def _list_leaf_fields(value: Value | None, reason: str) -> Iterator[UnprovenField]:
    """Yield each field below a value that is not a mapping itself."""
    if value is None or value.content is None:
        return
    if isinstance(value.content, dict):
        for child in value.mapping().values():
            yield from _list_leaf_fields(child, reason)
    else:
        yield UnprovenField(value.at, value.path, reason)
