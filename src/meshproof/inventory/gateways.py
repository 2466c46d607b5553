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
from meshproof.inventory.namespaces import (
    NAME_LABEL,
    NamespaceSelector,
    Requirement,
    read_selector,
)
from meshproof.inventory.problems import Problems

KIND = "Gateway"
ISTIO_GROUP, GATEWAY_API_GROUP = "networking.istio.io", "gateway.networking.k8s.io"
#: The class of Istio's gateways in Gateway API; others belong to other controllers.
GATEWAY_CLASS = "istio"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")
_HTTP_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
_ISTIO_PROTOCOLS = (*_HTTP_PROTOCOLS, "HTTPS", "TLS", "TCP", "MONGO")
#: Modes of TLS that end at the gateway with certificates, and all others.
_SERVED_TLS_MODES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
_TLS_MODES = (*_SERVED_TLS_MODES, "PASSTHROUGH", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL")
_LISTENER_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP")
_OTHER_ROUTE_KINDS = ("TCPRoute", "TLSRoute", "UDPRoute")


@dataclass(frozen=True, eq=False)
class Server:
    """A port of a gateway: a server of Istio's Gateway or a listener of Gateway API's.

    `protocol` is upper case, `tls` the block of that name. `host_namespaces` has for each host the
    namespace whose rules may use it, `*` for all. A listener has a `name`, and takes routes of
    `route_kinds` in `route_namespaces` (None for any). `tls_mode` is the mode where TLS ends at the
    gateway, else "". With `redirects_to_https` no rule gets its requests.
    """

    number: int
    protocol: str
    hosts: tuple[str, ...]
    host_namespaces: tuple[str, ...]
    at: At
    tls: Value | None
    name: str = ""
    route_namespaces: NamespaceSelector | None = None
    route_kinds: tuple[str, ...] = ()
    tls_mode: str = ""
    redirects_to_https: bool = False

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
        if selector is not None:
            selector.text_mapping()
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
        raise entries.lacks(f"at least one {noun}")
    for entry in entries.items():
        entry.mapping()


def _read_server(value: Value, namespace: str, problems: Problems) -> Server:
    """Return a server of an Istio Gateway; `namespace` is the gateway's."""
    tls_mode, redirects_to_https = "", False
    with problems:
        _check_server(value)
        tls_mode, redirects_to_https = _read_tls(value)
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
        tls_mode=tls_mode,
        redirects_to_https=redirects_to_https,
    )


def _check_server(server: Value) -> None:
    """Raise BadRules for a server that is wrong or not supported, apart from its TLS."""
    port, hosts = server.need("port"), server.need("hosts")
    protocol = port.need("protocol")
    name = protocol.text().upper()  # istiod takes it in any case
    if name not in _ISTIO_PROTOCOLS:
        protocol.choice(*_ISTIO_PROTOCOLS)
    if name not in (*_HTTP_PROTOCOLS, "HTTPS"):
        raise protocol.at.unsupported(f"{protocol.text()} is not supported yet", path=protocol.path)
    if not hosts.items():
        raise hosts.lacks("at least one host")
    port.need("number").integer(1, 65535)
    for host in hosts.items():
        host.non_empty_text()


def _read_tls(server: Value) -> tuple[str, bool]:
    """Return the mode of TLS that ends at a server, and whether it redirects plain requests.

    Raises BadRules for a block that Istio refuses, or that is not served.
    """
    tls, protocol = server.get("tls"), server.need("port").need("protocol")
    is_https = protocol.text().upper() == "HTTPS"
    if tls is None:
        if is_https:
            raise server.error("`tls`, which a port of HTTPS needs")
        return "", False
    redirect, mode = tls.get("httpsRedirect"), tls.get("mode")
    redirects_to_https = redirect.boolean() if redirect is not None else False
    mode_name = mode.choice(*_TLS_MODES) if mode is not None else "PASSTHROUGH"
    if not is_https:
        if mode_name != "PASSTHROUGH" or set(tls.mapping()) - {"httpsRedirect", "mode"}:
            raise tls.at.error("a port of HTTP takes no TLS but httpsRedirect", path=tls.path)
        return "", redirects_to_https
    if mode_name not in _SERVED_TLS_MODES:
        at = mode.at if mode is not None else tls.at
        raise at.unsupported(f"{mode_name} is not supported yet", f"{tls.path}.mode")
    _check_certificates(tls, mode_name)
    return mode_name, False


def _check_certificates(tls: Value, mode: str) -> None:
    """Raise BadRules unless a server names its certificate, and whom it asks for one."""
    names_secret = tls.get("credentialName") is not None or tls.entries("credentialNames")
    names_files = {"serverCertificate", "privateKey"} <= set(tls.mapping())
    if not (names_secret or names_files or tls.entries("tlsCertificates")):
        raise tls.at.error(
            f"{mode} needs a certificate: credentialName, or serverCertificate and privateKey",
            path=tls.path,
        )
    if mode != "SIMPLE" and not names_secret and tls.get("caCertificates") is None:
        raise tls.at.error(f"{mode} needs caCertificates, to know its clients by", path=tls.path)


def _read_gateway_api_gateway(document: Document) -> Gateway:
    problems = Problems()
    with problems:
        name = document.spec.need("gatewayClassName")
        if name.text() != GATEWAY_CLASS:
            raise name.at.unsupported(
                f"only '{GATEWAY_CLASS}' is supported, found '{name.text()}'", path=name.path
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
    route_namespaces: NamespaceSelector | None = _select_name(namespace)
    route_kinds: tuple[str, ...] = ROUTE_KINDS
    tls_mode = ""
    with problems:
        _check_listener(value)
        tls_mode = _read_listener_tls(value)
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
        tls_mode,
    )


def _check_listener(listener: Value) -> None:
    """Raise BadRules for a listener that is wrong or not supported, apart from its routes."""
    protocol, hostname = listener.need("protocol"), listener.get("hostname")
    if protocol.choice(*_LISTENER_PROTOCOLS) not in ("HTTP", "HTTPS"):
        raise protocol.at.unsupported(f"{protocol.text()} is not supported yet", path=protocol.path)
    listener.need("name").non_empty_text()
    if hostname is not None:
        hostname.text()
    listener.need("port").integer(1, 65535)


def _read_listener_tls(listener: Value) -> str:
    """Return the mode of TLS that ends at a listener, "" without TLS.

    Raises BadRules for a block that Gateway API refuses, or that is not served.
    """
    tls = listener.get("tls")
    if listener.need("protocol").text() != "HTTPS":
        if tls is not None:
            raise tls.at.error("a listener of HTTP takes no TLS", path=tls.path)
        return ""
    if tls is None:
        raise listener.error("`tls`, which a listener of HTTPS needs")
    mode = tls.get("mode")
    if mode is not None and mode.choice("Terminate", "Passthrough") != "Terminate":
        raise mode.at.error("TLS of a listener of HTTPS ends there: Terminate", path=mode.path)
    references = tls.entries("certificateRefs")
    if not references:
        raise tls.at.absent("at least one of certificateRefs", path=tls.path)
    for reference in references:
        _check_certificate(reference)
    return "SIMPLE"


def _check_certificate(reference: Value) -> None:
    """Raise BadRules for the certificate of a listener that is no Secret of its namespace."""
    kind, group, namespace = (reference.get(key) for key in ("kind", "group", "namespace"))
    is_secret = (read_text(kind) or "Secret", read_text(group)) == ("Secret", "")
    if not is_secret:
        raise reference.at.unsupported("only a Secret is supported yet", path=reference.path)
    if namespace is not None:
        raise namespace.at.unsupported(
            "a Secret of another namespace is not supported yet", path=namespace.path
        )
    reference.need("name").non_empty_text()


def _read_route_namespaces(
    namespaces: Value | None, own_namespace: str
) -> NamespaceSelector | None:
    """Return which namespaces' routes may attach, None for all."""
    own = _select_name(own_namespace)
    if namespaces is None:
        return own
    source = namespaces.get("from")
    choice = source.choice("All", "Same", "Selector") if source else "Same"
    if choice == "Selector":
        return read_selector(namespaces.need("selector"))
    return None if choice == "All" else own


def _select_name(namespace: str) -> NamespaceSelector:
    """Return the selector of one namespace by its name."""
    return NamespaceSelector((Requirement(NAME_LABEL, "In", (namespace,)),))


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
