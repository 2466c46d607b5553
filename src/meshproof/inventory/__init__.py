"""What stands beside the rules: Services, workloads and ServiceEntries, read for their hosts.

Sources: Kubernetes' API reference; Istio reference, ServiceEntry and Sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels, full_name, labels
from meshproof.documents.manifest import Document
from meshproof.rules.model import RuleSet

#: Kinds that say what the rules are about; no rule stands in them.
KINDS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "IngressClass",
    "Namespace",
    "Pod",
    "PodDisruptionBudget",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceEntry",
    "Sidecar",
    "StatefulSet",
    "WorkloadEntry",
    "WorkloadGroup",
)
_WORKLOADS = ("DaemonSet", "Deployment", "StatefulSet")
#: Protocols of ports for which routes of HTTP hold.
_HTTP = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
#: Sidecars of these namespaces are those of the callers: their own, or everybody's.
_CALLERS = ("default", ROOT_NAMESPACE)


@dataclass(frozen=True)
class Inventory:
    """What is known beside the rules, by full host: ports, selectors and labels of workloads.

    `ports` has every host that is known or that rules send to at a port. `workloads` has every host
    that a Service or ServiceEntry describes, with the labels of what it selects. `subsets` are
    those that any DestinationRule names, `outside` the hosts of ServiceEntries, which are no
    services of the cluster.
    """

    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    selectors: dict[str, Labels] = field(default_factory=dict)
    workloads: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


def read(documents: Sequence[Document], found: RuleSet) -> Inventory:
    """Return what the documents tell of the hosts of rules.

    Raises BadRules with its place for what cannot be read, and for a Sidecar that hides a rule.
    """
    for sidecar in (one for one in documents if one.kind == "Sidecar"):
        _check_visible(sidecar, found)
    services = [one for one in documents if one.kind == "Service"]
    selected = selectors(services)
    pods = [(one.namespace, _pod_labels(one)) for one in documents if one.kind in _WORKLOADS]
    ports = {_host(one): tuple(sorted(_ports(one))) for one in services}
    workloads = {
        host: tuple(
            carried
            for namespace, carried in pods
            if selector and host.split(".")[1] == namespace and set(selector) <= set(carried)
        )
        for host, selector in selected.items()
    }
    entries = [one for one in documents if one.kind == "ServiceEntry"]
    for entry in entries:
        for host in _entry_hosts(entry):
            ports.setdefault(host, tuple(sorted(_entry_ports(entry))))
            workloads.setdefault(host, _entry_workloads(entry))
    known = set(ports)
    for host, port in _named_ports(found):
        if host not in known:
            ports[host] = tuple(sorted({*ports.get(host, ()), port}))
    return Inventory(
        ports,
        {host: selector for host, selector in selected.items() if selector},
        workloads,
        _subsets(one for one in documents if one.kind == "DestinationRule"),
        tuple(dict.fromkeys(host for entry in entries for host in _entry_hosts(entry))),
    )


def selectors(services: Iterable[Document]) -> dict[str, Labels]:
    """Return the labels that Services select, by full host; none for one without a selector."""
    return {_host(one): _labels(one, "selector") for one in services}


def _entry_hosts(entry: Document) -> Iterator[str]:
    """Yield the hosts of a ServiceEntry that are no services of the cluster."""
    for host in entry.spec.need("hosts").items():
        if not host.text().endswith(f".{CLUSTER_DOMAIN}"):
            yield host.text()


def _entry_ports(entry: Document) -> Iterator[int]:
    ports = entry.spec.get("ports")
    for port in ports.items() if ports else []:
        protocol = port.get("protocol")
        if protocol is None or protocol.text().upper() in _HTTP:
            yield port.need("number").integer(1, 65535)


def _entry_workloads(entry: Document) -> tuple[Labels, ...]:
    """Return the labels of a ServiceEntry's endpoints; none where they have none."""
    found = entry.spec.get("endpoints")
    carried = [one.get("labels") for one in found.items()] if found else []
    return tuple(dict.fromkeys(labels(one.texts()) for one in carried if one is not None))


def _check_visible(sidecar: Document, found: RuleSet) -> None:
    """Raise BadRules when a Sidecar keeps the callers from seeing a host that a rule is for."""
    egress = sidecar.root.get("spec") and sidecar.spec.get("egress")
    if not egress or sidecar.namespace not in _CALLERS:
        return
    seen = [host.text() for one in egress.items() for host in one.need("hosts").items()]
    for table in found.tables:
        if table.gateways is not None and MESH not in table.gateways:
            continue
        for host in table.hosts:
            owner = host.split(".")[1] if host.endswith(CLUSTER_DOMAIN) else table.namespace
            if not any(_shows(one, host, owner, sidecar.namespace) for one in seen):
                raise egress.at.error(
                    f"{egress.path}: this Sidecar hides {host} from its callers, so that the rule "
                    f"at {table.at} has no effect"
                )


def _shows(entry: str, host: str, owner: str, own: str) -> bool:
    """Say whether an entry of a Sidecar's egress, `namespace/host`, shows a host of `owner`."""
    namespace, _, name = entry.rpartition("/")
    fits = namespace in ("", "*", owner) or (namespace == "." and owner == own)
    return fits and (name in ("*", host) or (name[:1] == "*" and host.endswith(name[1:])))


def _host(service: Document) -> str:
    return f"{service.name}.{service.namespace}.{CLUSTER_DOMAIN}"


def _labels(document: Document, key: str) -> Labels:
    found = document.spec.get(key)
    return labels(found.texts()) if found else ()


def _pod_labels(workload: Document) -> Labels:
    metadata = workload.spec.need("template").get("metadata")
    found = metadata.get("labels") if metadata else None
    return labels(found.texts()) if found else ()


def _ports(service: Document) -> Iterator[int]:
    for one in service.spec.need("ports").items():
        yield one.need("port").integer(1, 65535)


def _named_ports(found: RuleSet) -> Iterator[tuple[str, int]]:
    """Yield (host, port) for every port that a rule is for, sends to or has in a match."""
    for table in found.tables:
        yield from ((host, port) for host in table.hosts for port in table.ports)
        for route in table.routes:
            for target in route.targets:
                if target.port:
                    yield target.host, target.port
            for match in route.matches:
                if match.port:
                    yield from ((host, match.port) for host in table.hosts)


def _subsets(rules: Iterable[Document]) -> dict[str, tuple[Labels, ...]]:
    found: dict[str, tuple[Labels, ...]] = {}
    for document in rules:
        host = full_name(document.spec.need("host").text(), document.namespace)
        entries = document.spec.get("subsets")
        named = [labels(one.need("labels").texts()) for one in entries.items()] if entries else []
        found[host] = (*found.get(host, ()), *named)
    return found
