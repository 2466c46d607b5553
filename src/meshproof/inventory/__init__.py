"""Reads what exists beside the rules: Services, workloads, subsets and ServiceEntries.

Sources: Kubernetes' API reference; Istio reference, ServiceEntry and Sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from meshproof.base.names import (
    CLUSTER_DOMAIN,
    MESH,
    ROOT_NAMESPACE,
    Labels,
    qualify_host,
    sort_labels,
)
from meshproof.documents.manifest import Document
from meshproof.rules.model import RuleSet

#: Kinds that the rules refer to; they contain no rule.
INVENTORY_KINDS = (
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
_WORKLOAD_KINDS = ("DaemonSet", "Deployment", "StatefulSet")
#: Protocols of ports to which HTTP routes apply.
_HTTP_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
#: Sidecar objects in these namespaces apply to the callers.
_CALLER_NAMESPACES = ("default", ROOT_NAMESPACE)


@dataclass(frozen=True)
class Inventory:
    """What exists beside the rules, by full host.

    `ports` are the ports of every host that is defined, or that rules name with a port.
    `selectors` are the labels that Services select. `workloads` are the labels of the workloads
    behind each Service or ServiceEntry. `subsets` are the labels of all subsets of
    DestinationRules. `external_hosts` are the hosts of ServiceEntries outside the cluster.
    """

    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    selectors: dict[str, Labels] = field(default_factory=dict)
    workloads: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    external_hosts: tuple[str, ...] = ()


def read_inventory(documents: Sequence[Document], rules: RuleSet) -> Inventory:
    """Return the inventory in documents; `rules` add the ports that they name.

    Raises BadRules with file and line for invalid values, and for a Sidecar that hides a rule.
    """
    for sidecar in (document for document in documents if document.kind == "Sidecar"):
        _check_visible(sidecar, rules)
    services = [document for document in documents if document.kind == "Service"]
    selectors = read_selectors(services)
    pods = [
        (document.namespace, _read_pod_labels(document))
        for document in documents
        if document.kind in _WORKLOAD_KINDS
    ]
    ports = {_service_host(service): tuple(sorted(_read_ports(service))) for service in services}
    workloads = {
        host: tuple(
            pod_labels
            for namespace, pod_labels in pods
            if selector and host.split(".")[1] == namespace and set(selector) <= set(pod_labels)
        )
        for host, selector in selectors.items()
    }
    entries = [document for document in documents if document.kind == "ServiceEntry"]
    for entry in entries:
        for host in _read_entry_hosts(entry):
            ports.setdefault(host, tuple(sorted(_read_entry_ports(entry))))
            workloads.setdefault(host, _read_entry_labels(entry))
    known_hosts = set(ports)
    for host, port in _list_rule_ports(rules):
        if host not in known_hosts:
            ports[host] = tuple(sorted({*ports.get(host, ()), port}))
    return Inventory(
        ports,
        {host: selector for host, selector in selectors.items() if selector},
        workloads,
        _read_subsets(document for document in documents if document.kind == "DestinationRule"),
        tuple(dict.fromkeys(host for entry in entries for host in _read_entry_hosts(entry))),
    )


def read_selectors(services: Iterable[Document]) -> dict[str, Labels]:
    """Return the labels that Services select, by full host; () without a selector."""
    return {_service_host(service): _read_labels(service, "selector") for service in services}


def _read_entry_hosts(entry: Document) -> Iterator[str]:
    """Yield the hosts of a ServiceEntry that are no names of cluster Services."""
    for host in entry.spec.need("hosts").items():
        if not host.text().endswith(f".{CLUSTER_DOMAIN}"):
            yield host.text()


def _read_entry_ports(entry: Document) -> Iterator[int]:
    """Yield the ports of a ServiceEntry that speak HTTP or gRPC, or name no protocol."""
    ports = entry.spec.get("ports")
    for port in ports.items() if ports else []:
        protocol = port.get("protocol")
        if protocol is None or protocol.text().upper() in _HTTP_PROTOCOLS:
            yield port.need("number").integer(1, 65535)


def _read_entry_labels(entry: Document) -> tuple[Labels, ...]:
    """Return the different labels of a ServiceEntry's endpoints."""
    endpoints = entry.spec.get("endpoints")
    label_values = [endpoint.get("labels") for endpoint in endpoints.items()] if endpoints else []
    return tuple(
        dict.fromkeys(
            sort_labels(value.text_mapping()) for value in label_values if value is not None
        )
    )


def _check_visible(sidecar: Document, rules: RuleSet) -> None:
    """Raise BadRules if a Sidecar hides the host of a rule from the callers."""
    egress = sidecar.root.get("spec") and sidecar.spec.get("egress")
    if not egress or sidecar.namespace not in _CALLER_NAMESPACES:
        return
    visible_hosts = [
        host.text() for listener in egress.items() for host in listener.need("hosts").items()
    ]
    for table in rules.tables:
        if table.gateways is not None and MESH not in table.gateways:
            continue
        for host in table.hosts:
            host_namespace = (
                host.split(".")[1] if host.endswith(CLUSTER_DOMAIN) else table.namespace
            )
            if not any(
                _shows_host(entry, host, host_namespace, sidecar.namespace)
                for entry in visible_hosts
            ):
                raise egress.at.error(
                    f"{egress.path}: this Sidecar hides {host} from its callers, so that the rule "
                    f"at {table.at} has no effect"
                )


def _shows_host(entry: str, host: str, host_namespace: str, sidecar_namespace: str) -> bool:
    """Say whether an entry of a Sidecar's egress, `namespace/host`, makes a host visible."""
    namespace, _, name = entry.rpartition("/")
    shows_namespace = namespace in ("", "*", host_namespace) or (
        namespace == "." and host_namespace == sidecar_namespace
    )
    return shows_namespace and (
        name in ("*", host) or (name[:1] == "*" and host.endswith(name[1:]))
    )


def _service_host(service: Document) -> str:
    """Return the full host of a Service."""
    return f"{service.name}.{service.namespace}.{CLUSTER_DOMAIN}"


def _read_labels(document: Document, key: str) -> Labels:
    """Return the labels under `key` of an object's spec, () without any."""
    value = document.spec.get(key)
    return sort_labels(value.text_mapping()) if value else ()


def _read_pod_labels(workload: Document) -> Labels:
    metadata = workload.spec.need("template").get("metadata")
    value = metadata.get("labels") if metadata else None
    return sort_labels(value.text_mapping()) if value else ()


def _read_ports(service: Document) -> Iterator[int]:
    for port in service.spec.need("ports").items():
        yield port.need("port").integer(1, 65535)


def _list_rule_ports(rules: RuleSet) -> Iterator[tuple[str, int]]:
    """Yield (host, port) for each port that a rule applies to, sends to or matches."""
    for table in rules.tables:
        yield from ((host, port) for host in table.hosts for port in table.ports)
        for route in table.routes:
            for target in route.targets:
                if target.port:
                    yield target.host, target.port
            for match in route.matches:
                if match.port:
                    yield from ((host, match.port) for host in table.hosts)


def _read_subsets(rules: Iterable[Document]) -> dict[str, tuple[Labels, ...]]:
    """Return the labels of the subsets of DestinationRules, by full host."""
    subsets: dict[str, tuple[Labels, ...]] = {}
    for document in rules:
        host = qualify_host(document.spec.need("host").text(), document.namespace)
        entries = document.spec.get("subsets")
        label_sets = (
            [sort_labels(subset.need("labels").text_mapping()) for subset in entries.items()]
            if entries
            else []
        )
        subsets[host] = (*subsets.get(host, ()), *label_sets)
    return subsets
