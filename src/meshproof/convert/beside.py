"""What objects beside the legacy rules tell: Services of their hosts, rules of today of a clash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshproof import inventory
from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name
from meshproof.convert.nodes import Node
from meshproof.convert.notes import Notes
from meshproof.convert.reading import says_kind
from meshproof.documents.manifest import Document

_GROUP = "networking.istio.io"
#: Kinds of which one host has one object for sidecars; of more, parts are not seen.
_ALONE = ("VirtualService", "DestinationRule")


def selectors(others: Iterable[Document]) -> dict[str, Labels]:
    """Return the labels that Services select, by host."""
    return inventory.selectors(_services(others))


def ports(others: Iterable[Document]) -> dict[tuple[str, str], int]:
    """Return the ports of Services by host and name."""
    found: dict[tuple[str, str], int] = {}
    for service in _services(others):
        listed = service.spec.get("ports")
        for port in listed.items() if listed is not None else []:
            name = port.get("name")
            if name is not None:
                found[_host(service), name.text()] = port.need("port").integer(1, 65535)
    return found


def check(objects: Sequence[Node], others: Iterable[Document], notes: Notes) -> None:
    """Name objects of today that are for the same host as a converted one, or of its name."""
    existing = [one for one in others if says_kind(one) and one.group == _GROUP]
    for node in objects:
        plain = node.plain()
        head = plain["metadata"]
        namespace = head.get("namespace", "default")
        for one in existing:
            if one.kind != plain["kind"]:
                continue
            same = (one.namespace, one.name) == (namespace, head["name"])
            hosts = {full_name(host, namespace) for host in _hosts(plain)}
            clash = plain["kind"] in _ALONE and "gateways" not in plain["spec"]
            if same or (clash and hosts & _hosts_of(one)):
                said = f"there is a {one.kind} '{one.name}' already; make one of both"
                notes.doubt(one.at, said, node)


def _services(others: Iterable[Document]) -> Iterator[Document]:
    return (one for one in others if says_kind(one) and one.kind == "Service")


def _host(service: Document) -> str:
    return f"{service.name}.{service.namespace}.{CLUSTER_DOMAIN}"


def _hosts(plain: dict[str, dict[str, object]]) -> list[str]:
    found = plain["spec"].get("hosts", [plain["spec"].get("host", "")])
    return [str(one) for one in found] if isinstance(found, list) else []


def _hosts_of(document: Document) -> set[str]:
    hosts, host = document.spec.get("hosts"), document.spec.get("host")
    listed = [*(hosts.items() if hosts is not None else []), *([host] if host is not None else [])]
    return {full_name(one.text(), document.namespace) for one in listed}
