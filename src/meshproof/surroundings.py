"""What stands beside the rules: Services and workloads, read for what they tell of hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from meshproof.manifest import Document
from meshproof.rules.model import CLUSTER_DOMAIN, Labels, RuleSet, full_name, labels

#: Kinds that say what the rules are about; no rule stands in them.
KINDS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Namespace",
    "Pod",
    "Service",
    "ServiceAccount",
    "StatefulSet",
)
_WORKLOADS = ("DaemonSet", "Deployment", "StatefulSet")


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the rules, by full host: ports, selectors and labels of workloads.

    `ports` has every host that is known or that rules send to at a port. `workloads` are the labels
    of those that a Service selects; `subsets` those that any DestinationRule names.
    """

    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    selectors: dict[str, Labels] = field(default_factory=dict)
    workloads: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[Labels, ...]] = field(default_factory=dict)


def read(documents: Sequence[Document], found: RuleSet) -> Surroundings:
    """Return what the documents tell of the hosts of rules. Raises BadRules with its place."""
    services = [one for one in documents if one.kind == "Service"]
    selectors = {_host(one): _labels(one, "selector") for one in services}
    pods = [(one.namespace, _pod_labels(one)) for one in documents if one.kind in _WORKLOADS]
    ports = {_host(one): tuple(sorted(_ports(one))) for one in services}
    for host, port in _named_ports(found):
        if not any(_host(one) == host for one in services):
            ports[host] = tuple(sorted({*ports.get(host, ()), port}))
    return Surroundings(
        ports,
        {host: selector for host, selector in selectors.items() if selector},
        {
            host: tuple(
                carried
                for namespace, carried in pods
                if selector and host.split(".")[1] == namespace and set(selector) <= set(carried)
            )
            for host, selector in selectors.items()
        },
        _subsets(one for one in documents if one.kind == "DestinationRule"),
    )


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
    """Yield (host, port) for every port that a rule sends to."""
    for target in (target for one in found.routes for arm in one.arms for target in arm.split):
        if target.port:
            yield target.host, target.port


def _subsets(rules: Iterable[Document]) -> dict[str, tuple[Labels, ...]]:
    found: dict[str, tuple[Labels, ...]] = {}
    for document in rules:
        host = full_name(document.spec.need("host").text(), document.namespace)
        entries = document.spec.get("subsets")
        named = [labels(one.need("labels").texts()) for one in entries.items()] if entries else []
        found[host] = (*found.get(host, ()), *named)
    return found
