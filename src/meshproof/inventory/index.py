"""The inventory: all that exists beside the rules, found by name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, Labels, is_host_within
from meshproof.documents.lookup import read_api_group, read_kind
from meshproof.documents.manifest import Document
from meshproof.documents.problems import ReadObject
from meshproof.inventory import destination_rules, gateways, policies, service_entries, services
from meshproof.inventory.destination_rules import DestinationRule, read_destination_rules
from meshproof.inventory.gateways import Gateway, read_gateways
from meshproof.inventory.policies import read_peer_authentications
from meshproof.inventory.problems import Problems
from meshproof.inventory.selectors import LABEL_PATHS, Selector, read_selectors
from meshproof.inventory.service_entries import ServiceEntry, read_service_entries
from meshproof.inventory.services import read_services
from meshproof.inventory.tls import TlsSettings, read_tls_settings
from meshproof.inventory.workloads import WORKLOAD_KINDS, Workload, read_workloads


class Inventory:
    """An index of Services, workloads, DestinationRules, gateways, entries and policies.

    It is made of any documents, and leaves out those of other kinds. `problems` are those of
    objects without a readable name, which are left out, too. The other objects have their own. A
    check looks here whether a kind is known at all before it reports something as missing: the
    files may be only a part of what the cluster has.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self.problems = Problems()
        self._documents = self._group_documents(documents)
        #: Every Service and every workload, those with problems too.
        self.all_services = read_services(self._of_kind(services.KIND))
        self.all_workloads = read_workloads(self._of_kind(*WORKLOAD_KINDS))
        #: Full names of all Services, also of those that cannot be read.
        self.service_names = {service.host for service in self.all_services}
        self.namespaces = {service.document.namespace for service in self.all_services}
        self.readable_services = [service for service in self.all_services if not service.problems]
        self.services = {service.host: service for service in self.readable_services}
        self.workloads = [workload for workload in self.all_workloads if not workload.problems]
        self.service_entries = list(read_service_entries(self._of_kind(service_entries.KIND)))
        self._entries_by_host: dict[str, list[ServiceEntry]] = {}
        for entry in self.service_entries:
            for host in entry.hosts:
                self._entries_by_host.setdefault(host, []).append(entry)
        self._wildcard_hosts = [host for host in self._entries_by_host if host.startswith("*")]
        self.all_destination_rules = read_destination_rules(
            document
            for document in self._of_kind(destination_rules.KIND)
            if read_api_group(document) == gateways.ISTIO_GROUP
        )
        self.destination_rules = [rule for rule in self.all_destination_rules if rule.host]
        self._rules_by_host: dict[str, list[DestinationRule]] = {}
        for rule in self.destination_rules:
            self._rules_by_host.setdefault(rule.host, []).append(rule)
        self.gateways: dict[str, Gateway] = {
            gateway.name: gateway for gateway in read_gateways(self._of_kind(gateways.KIND))
        }
        self.peer_authentications = read_peer_authentications(self._of_kind(policies.KIND))
        self._workloads_by_namespace: dict[str, list[Workload]] = {}
        self._workloads_by_label: dict[tuple[str, tuple[str, str]], list[Workload]] = {}
        for workload in self.workloads:
            namespace = workload.document.namespace
            self._workloads_by_namespace.setdefault(namespace, []).append(workload)
            for label in workload.pod_labels:
                self._workloads_by_label.setdefault((namespace, label), []).append(workload)
        self._workloads_by_host: dict[str, list[Workload]] = {}

    def _group_documents(
        self, documents: Iterable[Document]
    ) -> dict[str, list[tuple[int, Document]]]:
        """Return the named documents by kind, each with its position."""
        by_kind: dict[str, list[tuple[int, Document]]] = {}
        for position, document in enumerate(documents):
            kind = read_kind(document)
            if kind in _KINDS:
                with self.problems:
                    _ = document.name, document.namespace
                    by_kind.setdefault(kind, []).append((position, document))
        return by_kind

    def _of_kind(self, *kinds: str) -> list[Document]:
        """Return the named documents of these kinds, in order."""
        positioned = [pair for kind in kinds for pair in self._documents.get(kind, ())]
        return [document for _, document in sorted(positioned, key=lambda pair: pair[0])]

    @cached_property
    def tls_settings(self) -> tuple[TlsSettings, ...]:
        """The TLS settings of every DestinationRule and its subsets."""
        return tuple(read_tls_settings(self.destination_rules))

    @property
    def host_problems(self) -> list[BadRules]:
        """The problems of names, and of all objects that tell about hosts; not of gateways."""
        objects: tuple[ReadObject, ...] = (
            *self.all_services,
            *self.all_workloads,
            *self.service_entries,
            *self.all_destination_rules,
        )
        return [*self.problems, *(problem for item in objects for problem in item.problems)]

    def find_workloads(self, host: str) -> list[Workload]:
        """Return the workloads that the Service of this host selects, none if it is unknown."""
        if host not in self._workloads_by_host:
            service = self.services.get(host)
            self._workloads_by_host[host] = (
                self._find_workloads_with(service.document.namespace, service.selector)
                if service is not None and service.selector
                else []
            )
        return self._workloads_by_host[host]

    def _find_workloads_with(self, namespace: str, labels: Labels) -> list[Workload]:
        """Return the workloads of a namespace that have all these labels, at least one."""
        candidates = self._workloads_by_label.get((namespace, labels[0]), ())
        return [workload for workload in candidates if workload.is_selected_by(labels)]

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

    def list_selectors(self, *kinds: str) -> tuple[Selector, ...]:
        """Return the selectors of the objects of these kinds (of `LABEL_PATHS`), in order."""
        return read_selectors(self._of_kind(*kinds))

    def find_selected_workloads(self, selector: Selector) -> list[Workload]:
        """Return the workloads that a selector with labels selects in its namespace."""
        return self._find_workloads_with(selector.document.namespace, selector.labels)

    def list_workloads(self, namespace: str) -> list[Workload]:
        """Return the workloads of a namespace."""
        return self._workloads_by_namespace.get(namespace, [])

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


_KINDS = (
    *WORKLOAD_KINDS,
    destination_rules.KIND,
    gateways.KIND,
    service_entries.KIND,
    policies.KIND,
    services.KIND,
    *LABEL_PATHS,
)


def shorten_host(host: str) -> str:
    """Return the first part of a Service's full name, other hosts unchanged."""
    return host.split(".")[0] if host.endswith(f".{CLUSTER_DOMAIN}") else host


def namespace_of(host: str) -> str:
    """Return the namespace in a Service's full name, empty for other hosts."""
    head = host.removesuffix(f".{CLUSTER_DOMAIN}")
    return head.partition(".")[2] if head != host else ""
