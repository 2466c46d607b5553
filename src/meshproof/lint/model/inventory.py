"""The inventory: Services, workloads, subsets, gateways and entries, found by name.

It is read once for a project. A check looks here whether a kind is known at all before it reports
something as missing: the files may be only a part of what the cluster has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from meshproof.base.names import CLUSTER_DOMAIN, Labels, qualify_host, sort_labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.project import (
    Project,
    ServiceObject,
    Workload,
    find_unclear_paths,
    find_values,
    is_unclear,
    read_spec,
    read_text,
)
from meshproof.lint.model.conditions import is_host_within

_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"


@dataclass(eq=False, slots=True)
class Subset:
    """A subset of a DestinationRule."""

    name: str
    labels: Labels
    at: At


@dataclass(eq=False, slots=True)
class DestinationRule:
    """A DestinationRule with its host and subsets. `is_complete` if all subsets were read."""

    document: Document
    host: str
    source_text: str
    at: At
    subsets: tuple[Subset, ...]
    is_complete: bool


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


class ServiceEntryPort(NamedTuple):
    """A port of a ServiceEntry. `protocol` is upper case; 0 and empty mean not set."""

    number: int
    protocol: str
    target_port: int
    at: At


@dataclass(frozen=True, eq=False)
class ServiceEntry:
    """A ServiceEntry with its hosts and ports. `export_to` is empty if not set."""

    document: Document
    hosts: tuple[str, ...]
    ports: tuple[ServiceEntryPort, ...]
    export_to: frozenset[str] = frozenset()

    def is_visible_from(self, namespace: str) -> bool:
        """Say whether proxies in a namespace see the entry. Empty stands for any namespace."""
        return not (self.export_to and namespace) or bool({"*", namespace} & self.export_to)


def are_nested(first: Labels, second: Labels) -> bool:
    """Say whether one of two sets of labels contains the other."""
    first_set, second_set = set(first), set(second)
    return first_set <= second_set or second_set <= first_set


class Inventory:
    """An index of a project's Services, workloads, DestinationRules, gateways and entries."""

    def __init__(self, project: Project) -> None:
        self.services = {service.host: service for service in project.services}
        #: Full names of all Services, also of those whose ports cannot be read.
        self.service_names = {
            f"{document.name}.{document.namespace}.{CLUSTER_DOMAIN}"
            for document in project.named_documents("Service")
        }
        self.namespaces = {document.namespace for document in project.named_documents("Service")}
        self.service_entries = [
            _read_service_entry(document) for document in project.named_documents("ServiceEntry")
        ]
        self._entries_by_host: dict[str, list[ServiceEntry]] = {}
        for entry in self.service_entries:
            for host in entry.hosts:
                self._entries_by_host.setdefault(host, []).append(entry)
        self._wildcard_hosts = [host for host in self._entries_by_host if host.startswith("*")]
        self.destination_rules = [
            rule
            for document in project.named_documents("DestinationRule", group=_ISTIO)
            for rule in _read_destination_rule(project, document)
        ]
        self._rules_by_host: dict[str, list[DestinationRule]] = {}
        for rule in self.destination_rules:
            self._rules_by_host.setdefault(rule.host, []).append(rule)
        self.gateways = {
            gateway.name: gateway
            for document in project.named_documents("Gateway")
            for gateway in _read_gateway(document)
        }
        self._workloads_by_namespace: dict[str, list[Workload]] = {}
        for workload in project.workloads:
            self._workloads_by_namespace.setdefault(workload.document.namespace, []).append(
                workload
            )
        self._workloads_by_host: dict[str, list[Workload]] = {}

    def find_workloads(self, host: str) -> list[Workload]:
        """Return the workloads that the Service of this host selects, none if it is unknown."""
        if host not in self._workloads_by_host:
            service = self.services.get(host)
            candidates = (
                self._workloads_by_namespace.get(service.document.namespace, []) if service else []
            )
            selector = service.selector if service else ()
            self._workloads_by_host[host] = [
                workload
                for workload in candidates
                if selector and workload.is_selected_by(selector)
            ]
        return self._workloads_by_host[host]

    def select_workloads(self, selector: Labels) -> list[Workload]:
        """Return the workloads of all namespaces that have these labels."""
        workloads = [
            workload
            for namespace_workloads in self._workloads_by_namespace.values()
            for workload in namespace_workloads
        ]
        return [
            workload for workload in workloads if selector and workload.is_selected_by(selector)
        ]

    def list_workload_namespaces(self) -> set[str]:
        """Return the namespaces that have a workload."""
        return set(self._workloads_by_namespace)

    def find_destination_rules(self, host: str) -> list[DestinationRule]:
        """Return the DestinationRules of a host: by name, else by the longest wildcard."""
        if host in self._rules_by_host:
            return self._rules_by_host[host]
        wildcards = [
            wildcard
            for wildcard in self._rules_by_host
            if wildcard.startswith("*") and is_host_within(host, wildcard)
        ]
        return self._rules_by_host[max(wildcards, key=len)] if wildcards else []

    def find_service_entry(self, host: str, namespace: str = "") -> ServiceEntry | None:
        """Return the ServiceEntry of a host that is visible from a namespace, or None."""
        wildcards = sorted(
            (wildcard for wildcard in self._wildcard_hosts if is_host_within(host, wildcard)),
            key=len,
        )
        for name in (host, *reversed(wildcards)):
            for entry in self._entries_by_host.get(name, ()):
                if entry.is_visible_from(namespace):
                    return entry
        return None

    def has_host(self, host: str, namespace: str) -> bool:
        """Say whether a full host is that of a Service or of a visible ServiceEntry."""
        return host in self.service_names or self.find_service_entry(host, namespace) is not None

    def list_ports(self, host: str) -> list[int]:
        """Return the port numbers of a host's Service or ServiceEntry, none if unknown."""
        service, entry = self.services.get(host), self.find_service_entry(host)
        if service is not None:
            return [port.number for port in service.ports]
        return [port.number for port in entry.ports if port.number] if entry is not None else []

    def list_entry_hosts(self) -> list[str]:
        """Return every host of every ServiceEntry."""
        return list(self._entries_by_host)


@lru_cache(maxsize=2)
def read_inventory(project: Project) -> Inventory:
    """Return the inventory of a project, read once for all checks."""
    return Inventory(project)


def shorten_host(host: str) -> str:
    """Return the first part of a Service's full name, other hosts unchanged."""
    return host.split(".")[0] if host.endswith(f".{CLUSTER_DOMAIN}") else host


def namespace_of(host: str) -> str:
    """Return the namespace in a Service's full name, empty for other hosts."""
    head = host.removesuffix(f".{CLUSTER_DOMAIN}")
    return head.partition(".")[2] if head != host else ""


def read_protocol(service: ServiceObject, number: int) -> str:
    """Return the protocol that a Service port declares in lower case, empty if none.

    Istio reads appProtocol first, then the port's name up to the first `-`.
    """
    for port in service.ports:
        if port.number == number:
            declared = port.app_protocol or port.name
            declared = declared.lower().removeprefix("kubernetes.io/")
            protocol = "grpc-web" if declared.startswith("grpc-web") else declared.partition("-")[0]
            return {"h2c": "http2", "ws": "http", "wss": "https"}.get(protocol, protocol)
    return ""


def _read_labels(value: Value | None) -> Labels:
    """Return the labels in a mapping, none if it is no mapping."""
    content = value.content if value is not None and isinstance(value.content, dict) else {}
    return sort_labels({key: read_text(value) for key, value in content.items()})


def _read_destination_rule(project: Project, document: Document) -> Iterator[DestinationRule]:
    """Yield the DestinationRule in a document, if it has a host."""
    for host in find_values(read_spec(document), "host"):
        entries = [
            entry
            for entry in find_values(read_spec(document), "subsets")
            if isinstance(entry.content, dict)
        ]
        subsets = [
            Subset(read_text(name), _read_labels(entry.mapping().get("labels")), name.at)
            for entry in entries
            for name in find_values(entry, "name")
            if read_text(name)
        ]
        is_clear = not is_unclear("spec", find_unclear_paths(project, document))
        yield DestinationRule(
            document,
            qualify_host(read_text(host), document.namespace),
            read_text(host),
            host.at,
            tuple(subsets),
            is_clear and len(subsets) == len(entries),
        )


def _read_gateway(document: Document) -> Iterator[Gateway]:
    """Yield the gateway in a document of Istio or Gateway API."""
    group = read_text(document.root.mapping().get("apiVersion")).rpartition("/")[0]
    if group not in (_ISTIO, _GATEWAY_API):
        return
    is_istio = group == _ISTIO
    read_server = _read_istio_server if is_istio else _read_listener
    server_values = find_values(read_spec(document), "servers" if is_istio else "listeners")
    namespace = document.namespace
    servers = [
        read_server(value, namespace) for value in server_values if isinstance(value.content, dict)
    ]
    gateway_spec = read_spec(document)
    yield Gateway(
        document,
        f"{document.namespace}/{document.name}",
        tuple(servers),
        _read_labels(gateway_spec.mapping().get("selector"))
        if gateway_spec is not None and is_istio
        else (),
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
        _read_number(numbers[0]) if numbers else 0,
        read_text(protocols[0]).upper() if protocols else "",
        tuple(host for _, _, host in hosts),
        tuple(namespace if owner == "." else owner or "*" for owner, _, _ in hosts),
        port[0].at if port else value.at,
        content.get("tls"),
    )


def _read_listener(value: Value, namespace: str) -> Server:
    """Return a listener of a Gateway API Gateway."""
    content = value.mapping()
    port = content.get("port")
    return Server(
        _read_number(port) if port is not None else 0,
        read_text(content.get("protocol")).upper(),
        (read_text(content.get("hostname")) or "*",),
        ("*",),
        value.at,
        content.get("tls"),
        read_text(content.get("name")),
    )


def _read_service_entry(document: Document) -> ServiceEntry:
    """Return the ServiceEntry in a document."""
    ports = [
        ServiceEntryPort(
            _read_number(port.content.get("number")),
            read_text(port.content.get("protocol")).upper(),
            _read_number(port.content.get("targetPort")),
            port.at,
        )
        for port in find_values(read_spec(document), "ports")
        if isinstance(port.content, dict)
    ]
    hosts = tuple(read_text(port) for port in find_values(read_spec(document), "hosts"))
    export_to = {read_text(port) for port in find_values(read_spec(document), "exportTo")}
    visible_namespaces = frozenset(
        document.namespace if port == "." else port for port in export_to
    )
    return ServiceEntry(document, hosts, tuple(ports), visible_namespaces)


def _read_number(value: Value | None) -> int:
    """Return an integer, 0 for anything else."""
    content = value.content if value is not None else 0
    return content if isinstance(content, int) and not isinstance(content, bool) else 0
