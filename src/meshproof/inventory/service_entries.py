"""Reads ServiceEntries: their hosts, ports and the labels of their endpoints.

Source: Istio reference, ServiceEntry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, Labels
from meshproof.documents.lookup import (
    find_values,
    get_value,
    read_labels,
    read_number,
    read_spec,
    read_text,
)
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.problems import Problems

KIND = "ServiceEntry"
_TLS_PROTOCOLS = ("HTTPS", "TLS")
_HTTPS_PORT = 443
#: Protocols of ports to which HTTP routes apply.
_HTTP_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")


class ServiceEntryPort(NamedTuple):
    """A port of a ServiceEntry. `protocol` is upper case; 0 and empty mean not set.

    `value` is the port in the file.
    """

    number: int
    protocol: str
    target_port: int
    value: Value


@dataclass(frozen=True, eq=False)
class ServiceEntry:
    """A ServiceEntry with its hosts and ports; what could be read of them.

    `addresses` are those of the spec. `export_to` is empty if not set. `endpoint_labels` are the
    labels of each endpoint with labels.
    """

    document: Document
    hosts: tuple[str, ...]
    ports: tuple[ServiceEntryPort, ...]
    addresses: tuple[str, ...] = ()
    export_to: frozenset[str] = frozenset()
    endpoint_labels: tuple[Labels, ...] = ()
    problems: tuple[BadRules, ...] = ()

    @property
    def external_hosts(self) -> tuple[str, ...]:
        """The hosts that are no names of Services in the cluster."""
        return tuple(host for host in self.hosts if not host.endswith(f".{CLUSTER_DOMAIN}"))

    @property
    def http_ports(self) -> tuple[int, ...]:
        """The ports that speak HTTP or gRPC, or name no protocol, in ascending order."""
        return tuple(
            sorted(port.number for port in self.ports if port.protocol in ("", *_HTTP_PROTOCOLS))
        )

    @property
    def tls_ports(self) -> tuple[int, ...]:
        """The ports at which a server speaks TLS: by their protocol, or as they lead to 443."""
        return tuple(
            port.number
            for port in self.ports
            if port.protocol in _TLS_PROTOCOLS or port.target_port == _HTTPS_PORT
        )

    def is_visible_from(self, namespace: str) -> bool:
        """Say whether proxies in a namespace see the entry. Empty stands for any namespace."""
        return not (self.export_to and namespace) or bool({"*", namespace} & self.export_to)


def read_service_entries(documents: Iterable[Document]) -> tuple[ServiceEntry, ...]:
    """Return the ServiceEntries of documents of that kind, with problems instead of raising."""
    return tuple(map(_read_service_entry, documents))


def _read_service_entry(document: Document) -> ServiceEntry:
    spec = read_spec(document)
    ports = [
        ServiceEntryPort(
            read_number(get_value(port, "number")),
            read_text(get_value(port, "protocol")).upper(),
            read_number(get_value(port, "targetPort")),
            port,
        )
        for port in find_values(spec, "ports")
        if isinstance(port.content, dict)
    ]
    export_to = {read_text(namespace) for namespace in find_values(spec, "exportTo")}
    return ServiceEntry(
        document,
        tuple(read_text(host) for host in find_values(spec, "hosts")),
        tuple(ports),
        tuple(read_text(address) for address in find_values(spec, "addresses")),
        frozenset(document.namespace if namespace == "." else namespace for namespace in export_to),
        tuple(
            dict.fromkeys(
                read_labels(labels)
                for labels in find_values(spec, "endpoints", "labels")
                if labels.content is not None
            )
        ),
        tuple(_find_problems(document)),
    )


def _find_problems(document: Document) -> Problems:
    """Return what is wrong with the hosts, the ports and the endpoints of a ServiceEntry."""
    problems = Problems()
    with problems:
        for host in document.spec.need("hosts").items():
            host.text()
    with problems:
        for port in document.spec.entries("ports"):
            with problems:
                protocol = port.get("protocol")
                if protocol is not None:
                    protocol.text()
                port.need("number").integer(1, 65535)
    with problems:
        for endpoint in document.spec.entries("endpoints"):
            labels = endpoint.get("labels")
            if labels is not None:
                labels.text_mapping()
    return problems
