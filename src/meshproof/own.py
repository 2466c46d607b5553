"""A user's own rules: read from files, with the cases that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from meshproof import cases, manifest, rules
from meshproof.cases import Case, Plan
from meshproof.manifest import Document
from meshproof.rules.model import CLUSTER_DOMAIN, Labels, RuleSet, full_name, labels
from meshproof.traffic import Request

#: Kinds that say what the rules are about; no rule stands in them.
_CONTEXT = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Namespace",
    "Pod",
    "Service",
    "ServiceAccount",
    "StatefulSet",
)
#: Headers that a client sends though nobody asked it to.
_OF_CLIENTS = ("accept", "accept-encoding", "user-agent")
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


@dataclass(frozen=True)
class OwnRules:
    """Rules, their cases, and what is known beside them."""

    rules: RuleSet
    plan: Plan
    around: Surroundings

    @cached_property
    def _without(self) -> tuple[str, ...]:
        """The headers of clients that the rules ask for."""
        matches = [match for one in self.rules.routes for arm in one.arms for match in arm.matches]
        asked = {name for one in matches for name, _ in one.headers + one.without_headers}
        return tuple(name for name in _OF_CLIENTS if name in asked)

    def request(self, case: Case) -> Request:
        """Return the request of a case as HTTP."""
        call = case.call
        query = "&".join(f"{name}={value}" for name, value in call.query)
        return Request(
            f"{call.path}?{query}" if query else call.path,
            (("Host", call.sent_to), *call.headers),
            call.method,
            tuple(name for name in self._without if call.header(name) is None),
        )


def load(paths: Sequence[str]) -> OwnRules:
    """Read rule files and folders; derive their cases.

    Raises BadRules with file and line for what cannot be read and when no case follows.
    """
    documents = manifest.read(paths)
    found = rules.read(one for one in documents if one.kind not in _CONTEXT)
    around = _surroundings(documents, found)
    return OwnRules(found, cases.derive(found, around.ports), around)


def _surroundings(documents: Sequence[Document], found: RuleSet) -> Surroundings:
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
