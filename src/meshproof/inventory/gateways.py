"""Reads Gateways of Istio and of Gateway API: their servers (listeners) and their selector.

Sources: Istio reference, Gateway; Gateway API reference, Gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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

KIND = "Gateway"
ISTIO_GROUP, GATEWAY_API_GROUP = "networking.istio.io", "gateway.networking.k8s.io"


@dataclass(frozen=True, eq=False, slots=True)
class Server:
    """A port of a gateway. `protocol` is upper case, `tls` the block of that name.

    `host_namespaces` has for each host the namespace whose rules may use it, `*` for all.
    """

    number: int
    protocol: str
    hosts: tuple[str, ...]
    host_namespaces: tuple[str, ...]
    at: At
    tls: Value | None
    name: str = ""

    def hosts_for(self, namespace: str) -> list[str]:
        """Return the hosts that rules in a namespace may use."""
        pairs = zip(self.hosts, self.host_namespaces, strict=True)
        return [host for host, owner in pairs if owner in ("*", namespace)]


@dataclass(frozen=True, eq=False, slots=True)
class Gateway:
    """A Gateway of Istio or Gateway API with its servers. `selector` selects its workloads."""

    document: Document
    name: str
    servers: tuple[Server, ...]
    selector: Labels
    is_istio: bool

    def shares_proxies_with(self, gateway: Gateway) -> bool:
        """Say whether the selector of one gateway contains the other's."""
        return are_nested(self.selector, gateway.selector)


def are_nested(first: Labels, second: Labels) -> bool:
    """Say whether one of two sets of labels contains the other."""
    first_set, second_set = set(first), set(second)
    return first_set <= second_set or second_set <= first_set


def read_gateways(documents: Iterable[Document]) -> tuple[Gateway, ...]:
    """Return the gateways of documents of that kind; those of other API groups are left out."""
    return tuple(
        _read_gateway(document, is_istio=group == ISTIO_GROUP)
        for document in documents
        if (group := read_api_group(document)) in (ISTIO_GROUP, GATEWAY_API_GROUP)
    )


def _read_gateway(document: Document, is_istio: bool) -> Gateway:
    spec = read_spec(document)
    read_server = _read_istio_server if is_istio else _read_listener
    servers = [
        read_server(value, document.namespace)
        for value in find_values(spec, "servers" if is_istio else "listeners")
        if isinstance(value.content, dict)
    ]
    return Gateway(
        document,
        f"{document.namespace}/{document.name}",
        tuple(servers),
        read_labels(spec.mapping().get("selector")) if spec is not None and is_istio else (),
        is_istio,
    )


def _read_istio_server(value: Value, namespace: str) -> Server:
    """Return a server of an Istio Gateway."""
    content, port = value.mapping(), find_values(value, "port")
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
        port[0].at if port else value.at,
        content.get("tls"),
    )


def _read_listener(value: Value, _namespace: str) -> Server:
    """Return a listener of a Gateway API Gateway."""
    content = value.mapping()
    port = content.get("port")
    return Server(
        read_number(port) if port is not None else 0,
        read_text(content.get("protocol")).upper(),
        (read_text(content.get("hostname")) or "*",),
        ("*",),
        value.at,
        content.get("tls"),
        read_text(content.get("name")),
    )
