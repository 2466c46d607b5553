"""What stands around the rules: services, workloads, subsets and gateways, by name.

All of it is read once for a project. A check asks here whether something is known at all before it
says that something is missing: the files may be a part of what the cluster has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name, labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.project import Project, ServiceObject, Workload, children, spec, text
from meshproof.lint.model.conditions import host_within
from meshproof.lint.model.istio_routes import doubtful, places_of_doubt

_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"


@dataclass(eq=False, slots=True)
class Subset:
    """A subset of a DestinationRule."""

    name: str
    labels: Labels
    at: At


@dataclass(eq=False, slots=True)
class Policy:
    """A DestinationRule: its host and subsets; `whole` where all of these could be read."""

    document: Document
    host: str
    written: str
    at: At
    subsets: tuple[Subset, ...]
    whole: bool


@dataclass(frozen=True, eq=False)
class Server:
    """A port of a gateway: number, protocol (upper case), hosts, its `tls`.

    `owners` has for each host the namespace whose rules may use it, `*` for all.
    """

    number: int
    protocol: str
    hosts: tuple[str, ...]
    owners: tuple[str, ...]
    at: At
    tls: Value | None
    name: str = ""

    def hosts_for(self, namespace: str) -> list[str]:
        """Return the hosts that rules of a namespace may use."""
        pairs = zip(self.hosts, self.owners, strict=True)
        return [host for host, owner in pairs if owner in ("*", namespace)]


@dataclass(frozen=True, eq=False)
class Way:
    """A gateway (Istio's or Gateway API's) with its servers; `selector` picks its workloads."""

    document: Document
    name: str
    servers: tuple[Server, ...]
    selector: Labels
    is_istio: bool

    def same_proxies(self, other: Way) -> bool:
        """Say whether two gateways are of the same proxies: one selector contains the other."""
        return nested(self.selector, other.selector)


class EntryPort(NamedTuple):
    """A port of a ServiceEntry: protocol in upper case, 0 and "" for what is not said."""

    number: int
    protocol: str
    target: int
    at: At


@dataclass(frozen=True, eq=False)
class Entry:
    """A ServiceEntry: its hosts and its ports."""

    document: Document
    hosts: tuple[str, ...]
    ports: tuple[EntryPort, ...]
    export_to: frozenset[str] = frozenset()

    def seen_from(self, namespace: str) -> bool:
        """Say whether proxies of a namespace see it; an empty one stands for any."""
        return not (self.export_to and namespace) or bool({"*", namespace} & self.export_to)


def nested(one: Labels, other: Labels) -> bool:
    """Say whether one of two sets of labels contains the other."""
    ours, theirs = set(one), set(other)
    return ours <= theirs or theirs <= ours


class Inventory:
    """The index over a project's services, workloads, DestinationRules, gateways and entries."""

    def __init__(self, project: Project) -> None:
        self.services = {one.host: one for one in project.services}
        #: Full names of all Services, also of those whose ports cannot be read.
        self.service_names = {
            f"{one.name}.{one.namespace}.{CLUSTER_DOMAIN}" for one in project.of("Service")
        }
        self.namespaces = {one.namespace for one in project.of("Service")}
        self.entries = [_entry(one) for one in project.of("ServiceEntry")]
        self._entry_hosts: dict[str, list[Entry]] = {}
        for entry in self.entries:
            for host in entry.hosts:
                self._entry_hosts.setdefault(host, []).append(entry)
        self._wildcards = [host for host in self._entry_hosts if host.startswith("*")]
        self.policies = [
            found
            for one in project.of("DestinationRule", group=_ISTIO)
            for found in _policy(project, one)
        ]
        self._policies: dict[str, list[Policy]] = {}
        for policy in self.policies:
            self._policies.setdefault(policy.host, []).append(policy)
        self.ways = {way.name: way for one in project.of("Gateway") for way in _way(one)}
        self._workloads: dict[str, list[Workload]] = {}
        for workload in project.workloads:
            self._workloads.setdefault(workload.document.namespace, []).append(workload)
        self.has_workloads = bool(self._workloads)
        self._of: dict[str, list[Workload]] = {}

    def workloads(self, host: str) -> list[Workload]:
        """Return the workloads that the service of this host selects (none if it is not known)."""
        if host not in self._of:
            service = self.services.get(host)
            known = self._workloads.get(service.document.namespace, []) if service else []
            selector = service.selector if service else ()
            self._of[host] = [one for one in known if selector and one.selected(selector)]
        return self._of[host]

    def selected(self, selector: Labels) -> list[Workload]:
        """Return the workloads of all namespaces that have these labels."""
        every = [one for found in self._workloads.values() for one in found]
        return [one for one in every if selector and one.selected(selector)]

    def workload_namespaces(self) -> set[str]:
        """Return the namespaces that have a workload."""
        return set(self._workloads)

    def of_host(self, host: str) -> list[Policy]:
        """Return the DestinationRules of a host: by name, else by the longest wildcard."""
        if host in self._policies:
            return self._policies[host]
        fits = [one for one in self._policies if one.startswith("*") and host_within(host, one)]
        return self._policies[max(fits, key=len)] if fits else []

    def entry(self, host: str, namespace: str = "") -> Entry | None:
        """Return the ServiceEntry of a host that a namespace sees, or None."""
        wide = sorted((one for one in self._wildcards if host_within(host, one)), key=len)
        for name in (host, *reversed(wide)):
            for found in self._entry_hosts.get(name, ()):
                if found.seen_from(namespace):
                    return found
        return None

    def exists(self, host: str, namespace: str) -> bool:
        """Say whether a full host is a Service's or, as seen from a namespace, a ServiceEntry's."""
        return host in self.service_names or self.entry(host, namespace) is not None

    def ports(self, host: str) -> list[int]:
        """Return the port numbers of a host's Service or ServiceEntry, empty where not known."""
        service, entry = self.services.get(host), self.entry(host)
        if service is not None:
            return [port.number for port in service.ports]
        return [one.number for one in entry.ports if one.number] if entry is not None else []

    def entry_hosts(self) -> list[str]:
        """Return every host of every ServiceEntry."""
        return list(self._entry_hosts)


@lru_cache(maxsize=2)
def surroundings(project: Project) -> Inventory:
    """Return the index of a project, made once for all checks."""
    return Inventory(project)


def short(host: str) -> str:
    """Return the first part of a service's full name, other hosts as they are."""
    return host.split(".")[0] if host.endswith(f".{CLUSTER_DOMAIN}") else host


def namespace_of(host: str) -> str:
    """Return the namespace in a service's full name, empty for other hosts."""
    head = host.removesuffix(f".{CLUSTER_DOMAIN}")
    return head.partition(".")[2] if head != host else ""


def speaks_http(service: ServiceObject, number: int) -> str:
    """Return the protocol that a service port declares, lower case; empty where it says none.

    Istio reads appProtocol first, then the port's name up to the first `-`.
    """
    for port in service.ports:
        if port.number == number:
            said = port.app_protocol or port.name
            said = said.lower().removeprefix("kubernetes.io/")
            known = "grpc-web" if said.startswith("grpc-web") else said.partition("-")[0]
            return {"h2c": "http2", "ws": "http", "wss": "https"}.get(known, known)
    return ""


def _labels(value: Value | None) -> Labels:
    content = value.content if value is not None and isinstance(value.content, dict) else {}
    return labels({key: text(one) for key, one in content.items()})


def _policy(project: Project, document: Document) -> Iterator[Policy]:
    for host in children(spec(document), "host"):
        entries = [
            one for one in children(spec(document), "subsets") if isinstance(one.content, dict)
        ]
        subsets = [
            Subset(text(name), _labels(one.mapping().get("labels")), name.at)
            for one in entries
            for name in children(one, "name")
            if text(name)
        ]
        whole = not doubtful("spec", places_of_doubt(project, document))
        yield Policy(
            document,
            full_name(text(host), document.namespace),
            text(host),
            host.at,
            tuple(subsets),
            whole and len(subsets) == len(entries),
        )


def _way(document: Document) -> Iterator[Way]:
    group = text(document.root.mapping().get("apiVersion")).rpartition("/")[0]
    if group not in (_ISTIO, _GATEWAY_API):
        return
    is_istio = group == _ISTIO
    read = _istio_server if is_istio else _listener
    found = children(spec(document), "servers" if is_istio else "listeners")
    own = document.namespace
    servers = [read(one, own) for one in found if isinstance(one.content, dict)]
    selector = spec(document)
    yield Way(
        document,
        f"{document.namespace}/{document.name}",
        tuple(servers),
        _labels(selector.mapping().get("selector")) if selector is not None and is_istio else (),
        is_istio,
    )


def _istio_server(value: Value, namespace: str) -> Server:
    content, port = value.mapping(), children(value, "port")
    numbers, protocols = children(value, "port", "number"), children(value, "port", "protocol")
    hosts = [text(one).rpartition("/") for one in children(value, "hosts")]
    return Server(
        _number(numbers[0]) if numbers else 0,
        text(protocols[0]).upper() if protocols else "",
        tuple(host for _, _, host in hosts),
        tuple(namespace if owner == "." else owner or "*" for owner, _, _ in hosts),
        port[0].at if port else value.at,
        content.get("tls"),
    )


def _listener(value: Value, namespace: str) -> Server:
    content = value.mapping()
    port = content.get("port")
    return Server(
        _number(port) if port is not None else 0,
        text(content.get("protocol")).upper(),
        (text(content.get("hostname")) or "*",),
        ("*",),
        value.at,
        content.get("tls"),
        text(content.get("name")),
    )


def _entry(document: Document) -> Entry:
    ports = [
        EntryPort(
            _number(one.content.get("number")),
            text(one.content.get("protocol")).upper(),
            _number(one.content.get("targetPort")),
            one.at,
        )
        for one in children(spec(document), "ports")
        if isinstance(one.content, dict)
    ]
    hosts = tuple(text(one) for one in children(spec(document), "hosts"))
    export_to = {text(one) for one in children(spec(document), "exportTo")}
    seen = frozenset(document.namespace if one == "." else one for one in export_to)
    return Entry(document, hosts, tuple(ports), seen)


def _number(value: Value | None) -> int:
    content = value.content if value is not None else 0
    return content if isinstance(content, int) and not isinstance(content, bool) else 0
