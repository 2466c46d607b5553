"""Reads Gateways of Istio and of Gateway API: their servers (listeners) and their selector.

Sources: Istio reference, Gateway; Gateway API reference, Gateway (Listener, AllowedRoutes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import Labels
from meshproof.documents.lookup import (
    find_values,
    read_api_group,
    read_labels,
    read_number,
    read_spec,
    read_text,
)
from meshproof.documents.manifest import At, Document, Value
from meshproof.inventory.problems import Problems

KIND = "Gateway"
ISTIO_GROUP, GATEWAY_API_GROUP = "networking.istio.io", "gateway.networking.k8s.io"
#: The class of Istio's gateways in Gateway API; others belong to other controllers.
GATEWAY_CLASS = "istio"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")
#: The labels of Istio's usual gateway.
_SELECTOR = {"istio": "ingressgateway"}
_ISTIO_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "MONGO")
_LISTENER_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP")
_OTHER_ROUTE_KINDS = ("TCPRoute", "TLSRoute", "UDPRoute")
#: The label of every namespace with its name (Kubernetes reference, well-known labels).
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, eq=False)
class Server:
    """A port of a gateway: a server of Istio's Gateway or a listener of Gateway API's.

    `protocol` is upper case, `tls` the block of that name. `host_namespaces` has for each host the
    namespace whose rules may use it, `*` for all. A listener has a `name`, and takes routes of
    `route_kinds` in `route_namespaces` (None for any).
    """

    number: int
    protocol: str
    hosts: tuple[str, ...]
    host_namespaces: tuple[str, ...]
    at: At
    tls: Value | None
    name: str = ""
    route_namespaces: tuple[str, ...] | None = None
    route_kinds: tuple[str, ...] = ()

    def hosts_for(self, namespace: str) -> list[str]:
        """Return the hosts that rules in a namespace may use."""
        pairs = zip(self.hosts, self.host_namespaces, strict=True)
        return [host for host, owner in pairs if owner in ("*", namespace)]


@dataclass(frozen=True, eq=False)
class Gateway:
    """A Gateway of Istio or Gateway API with its servers; what could be read of them.

    `name` is namespace/name. `selector` selects its workloads, () in Gateway API. `problems` are
    also about what meshproof does not support, such as TLS.
    """

    document: Document
    name: str
    servers: tuple[Server, ...]
    selector: Labels
    is_istio: bool
    problems: tuple[BadRules, ...] = ()

    def shares_proxies_with(self, gateway: Gateway) -> bool:
        """Say whether the selector of one gateway contains the other's."""
        return are_nested(self.selector, gateway.selector)


def are_nested(first: Labels, second: Labels) -> bool:
    """Say whether one of two sets of labels contains the other."""
    first_set, second_set = set(first), set(second)
    return first_set <= second_set or second_set <= first_set


def read_gateways(documents: Iterable[Document]) -> tuple[Gateway, ...]:
    """Return the Gateways of Istio and of Gateway API, with problems instead of raising.

    `documents` are of that kind. Gateways of other API groups are left out.
    """
    readers = {ISTIO_GROUP: _read_istio_gateway, GATEWAY_API_GROUP: _read_gateway_api_gateway}
    return tuple(
        readers[group](document)
        for document in documents
        if (group := read_api_group(document)) in readers
    )


def _read_istio_gateway(document: Document) -> Gateway:
    spec, problems = read_spec(document), Problems()
    with problems:
        selector = document.spec.get("selector")  # without one, it holds at every gateway
        if selector is not None and selector.text_mapping() != _SELECTOR:
            raise selector.at.unsupported(
                f"{selector.path}: only 'istio: ingressgateway' is supported"
            )
    with problems:
        _check_entries(document.spec.need("servers"), "server")
    return Gateway(
        document,
        f"{document.namespace}/{document.name}",
        tuple(
            _read_server(value, document.namespace, problems)
            for value in find_values(spec, "servers")
            if isinstance(value.content, dict)
        ),
        read_labels(spec.mapping().get("selector")) if spec is not None else (),
        True,
        tuple(problems),
    )


def _check_entries(entries: Value, noun: str) -> None:
    """Raise BadRules unless there is at least one server or listener, and each is a mapping."""
    if not entries.items():
        raise entries.error(f"at least one {noun}")
    for entry in entries.items():
        entry.mapping()


def _read_server(value: Value, namespace: str, problems: Problems) -> Server:
    """Return a server of an Istio Gateway; `namespace` is the gateway's."""
    with problems:
        _check_server(value)
    ports = find_values(value, "port")
    numbers, protocols = (
        find_values(value, "port", "number"),
        find_values(value, "port", "protocol"),
    )
    hosts = [read_text(host).rpartition("/") for host in find_values(value, "hosts")]
    return Server(
        read_number(numbers[0]) if numbers else 0,
        read_text(protocols[0]).upper() if protocols else "",
        tuple(host for _, _, host in hosts),
        tuple(namespace if owner == "." else owner or "*" for owner, _, _ in hosts),
        ports[0].at if ports else value.at,
        value.mapping().get("tls"),
    )


def _check_server(server: Value) -> None:
    """Raise BadRules for a server that is wrong or not supported."""
    port, hosts = server.need("port"), server.need("hosts")
    protocol = port.need("protocol")
    if protocol.choice(*_ISTIO_PROTOCOLS) not in ("HTTP", "HTTP2"):
        raise protocol.at.unsupported(f"{protocol.path}: {protocol.text()} is not supported yet")
    if not hosts.items():
        raise hosts.error("at least one host")
    port.need("number").integer(1, 65535)
    for host in hosts.items():
        if host.text().rpartition("/")[0] not in ("", "*"):
            raise host.at.unsupported(f"{host.path}: a namespace of its rules is not supported yet")


def _read_gateway_api_gateway(document: Document) -> Gateway:
    problems = Problems()
    with problems:
        name = document.spec.need("gatewayClassName")
        if name.text() != GATEWAY_CLASS:
            raise name.at.unsupported(
                f"{name.path}: only '{GATEWAY_CLASS}' is supported, found '{name.text()}'"
            )
    with problems:
        _check_entries(document.spec.need("listeners"), "listener")
    return Gateway(
        document,
        f"{document.namespace}/{document.name}",
        tuple(
            _read_listener(value, document.namespace, problems)
            for value in find_values(read_spec(document), "listeners")
            if isinstance(value.content, dict)
        ),
        (),
        False,
        tuple(problems),
    )


def _read_listener(value: Value, namespace: str, problems: Problems) -> Server:
    """Return a listener of a Gateway API Gateway; `namespace` is the gateway's."""
    route_namespaces: tuple[str, ...] | None = (namespace,)
    route_kinds: tuple[str, ...] = ROUTE_KINDS
    with problems:
        _check_listener(value)
        allowed = value.get("allowedRoutes")
        if allowed is not None:
            route_namespaces = _read_route_namespaces(allowed.get("namespaces"), namespace)
            route_kinds = _read_route_kinds(allowed)
    content = value.mapping()
    return Server(
        read_number(content.get("port")),
        read_text(content.get("protocol")).upper(),
        (read_text(content.get("hostname")) or "*",),
        ("*",),
        value.at,
        content.get("tls"),
        read_text(content.get("name")),
        route_namespaces,
        route_kinds,
    )


def _check_listener(listener: Value) -> None:
    """Raise BadRules for a listener that is wrong or not supported, apart from its routes."""
    protocol, hostname = listener.need("protocol"), listener.get("hostname")
    if protocol.choice(*_LISTENER_PROTOCOLS) != "HTTP":
        raise protocol.at.unsupported(f"{protocol.path}: {protocol.text()} is not supported yet")
    listener.need("name").non_empty_text()
    if hostname is not None:
        hostname.text()
    listener.need("port").integer(1, 65535)


def _read_route_namespaces(namespaces: Value | None, own_namespace: str) -> tuple[str, ...] | None:
    """Return the namespaces whose routes may attach, None for all."""
    if namespaces is None:
        return (own_namespace,)
    source = namespaces.get("from")
    choice = source.choice("All", "Same", "Selector") if source else "Same"
    if choice == "Selector":
        return _read_namespace_selector(namespaces.need("selector"))
    return None if choice == "All" else (own_namespace,)


def _read_namespace_selector(selector: Value) -> tuple[str, ...]:
    """Return the namespaces that a selector names. Only the label with the name is known."""
    labels = selector.get("matchLabels")
    required_labels = labels.text_mapping() if labels else {}
    requirements: list[tuple[str, list[str]]] = [
        (key, [value]) for key, value in required_labels.items()
    ]
    for expression in selector.entries("matchExpressions"):
        if expression.need("operator").choice("DoesNotExist", "Exists", "In", "NotIn") != "In":
            raise expression.need("operator").error("In, the only one that is supported yet")
        values = [value.text() for value in expression.need("values").items()]
        requirements.append((expression.need("key").text(), values))
    if not requirements or {key for key, _ in requirements} != {_NAMESPACE_LABEL}:
        raise selector.at.unsupported(
            f"{selector.path}: only the label {_NAMESPACE_LABEL} is supported yet"
        )
    allowed, *further = (set(names) for _, names in requirements)
    return tuple(sorted(allowed.intersection(*further)))


def _read_route_kinds(allowed_routes: Value) -> tuple[str, ...]:
    """Return the kinds of routes that may attach."""
    names = []
    for kind in allowed_routes.entries("kinds"):
        group = kind.get("group")
        if group is not None:
            group.choice(GATEWAY_API_GROUP)
        names.append(kind.need("kind").choice(*ROUTE_KINDS, *_OTHER_ROUTE_KINDS))
    return tuple(names) or ROUTE_KINDS


def is_ambient_gateway(document: Document) -> bool:
    """Say whether a document is a waypoint, or another Gateway for connections of HBONE."""
    if (read_api_group(document), document.kind) != (GATEWAY_API_GROUP, "Gateway"):
        return False
    classes = find_values(document.root, "spec", "gatewayClassName")
    protocols = find_values(document.root, "spec", "listeners", "protocol")
    is_ambient = any(read_text(value) in ("istio-waypoint", "istio-east-west") for value in classes)
    return is_ambient or any(read_text(value) == "HBONE" for value in protocols)
