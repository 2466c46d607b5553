"""Reads the objects that are not converted: Services, and rules that clash with converted ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshproof.base.names import Labels, qualify_host
from meshproof.convert.nodes import Node
from meshproof.convert.notes import Notes
from meshproof.convert.source import has_kind_and_version
from meshproof.documents.manifest import Document
from meshproof.inventory import services

_GROUP = "networking.istio.io"
#: Kinds of which a host can have one object for sidecars; Istio ignores parts of a second one.
_UNIQUE_KINDS = ("VirtualService", "DestinationRule")


def read_selectors(documents: Iterable[Document]) -> dict[str, Labels]:
    """Return the labels that Services select, by host."""
    return services.read_selectors(_iter_services(documents))


def read_named_ports(documents: Iterable[Document]) -> dict[tuple[str, str], int]:
    """Return the ports of Services by host and name."""
    return {
        (service.host, port.name): port.number
        for service in services.read_services(_iter_services(documents))
        for port in service.ports
        if port.name
    }


def note_clashes(objects: Sequence[Node], documents: Iterable[Document], notes: Notes) -> None:
    """Note existing objects with the name or the host of a converted one."""
    existing = [
        document
        for document in documents
        if has_kind_and_version(document) and document.group == _GROUP
    ]
    for node in objects:
        content = node.to_python()
        metadata = content["metadata"]
        namespace = metadata.get("namespace", "default")
        for document in existing:
            if document.kind != content["kind"]:
                continue
            has_same_name = (document.namespace, document.name) == (namespace, metadata["name"])
            hosts = {qualify_host(host, namespace) for host in _list_node_hosts(content)}
            is_only_one = content["kind"] in _UNIQUE_KINDS and "gateways" not in content["spec"]
            if has_same_name or (is_only_one and hosts & _read_hosts(document)):
                message = f"there is a {document.kind} '{document.name}' already; make one of both"
                notes.add_doubt(document.at, message, node)


def _iter_services(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the Services among the documents."""
    return (
        document
        for document in documents
        if has_kind_and_version(document) and document.kind == "Service"
    )


def _list_node_hosts(content: dict[str, dict[str, object]]) -> list[str]:
    """Return the hosts of a converted object."""
    hosts = content["spec"].get("hosts", [content["spec"].get("host", "")])
    return [str(host) for host in hosts] if isinstance(hosts, list) else []


def _read_hosts(document: Document) -> set[str]:
    """Return the full hosts of an existing object."""
    hosts, host = document.spec.get("hosts"), document.spec.get("host")
    values = [*(hosts.items() if hosts is not None else []), *([host] if host is not None else [])]
    return {qualify_host(value.text(), document.namespace) for value in values}
