"""What is there, as the files say: whether a host exists, and which pods answer for it.

The files may be a part of what a cluster has. Of a namespace without a Service in them nothing is
known: there an echo workload stands in for a host, and the run says so. Where something is known,
a host that is not in it does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from meshproof.base.names import CLUSTER_DOMAIN, Labels, is_host_within, is_service
from meshproof.documents.lookup import read_api_group
from meshproof.documents.manifest import At, Document
from meshproof.documents.schema import find_closest_word
from meshproof.inventory.index import Inventory
from meshproof.inventory.pods import PodSource, is_added_label, read_pod_sources
from meshproof.inventory.services import Service

#: Their services are hardly ever all in the files.
_PLATFORM_NAMESPACES = ("istio-ingress", "istio-system", "kube-system")
#: Services that every cluster has.
_BUILT_IN_HOSTS = (f"kubernetes.default.{CLUSTER_DOMAIN}",)
#: Labels of the pods that Istio makes for a Gateway.
_GATEWAY_LABELS = ("gateway.networking.k8s.io/gateway-name", "istio.io/gateway-name")
#: API groups whose objects make no Services (a Gateway of Gateway API does).
_PASSIVE_GROUPS = (
    *("", "apps", "autoscaling", "batch", "cert-manager.io", "config.istio.io", "extensions"),
    *("extensions.istio.io", "kustomize.config.k8s.io", "monitoring.coreos.com"),
    *("networking.istio.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"),
    *("security.istio.io", "telemetry.istio.io"),
)


class Presence(Enum):
    """What is known of a host, or of a subset of it."""

    #: The pods in the files answer.
    PRESENT = "present"
    #: Too little is known: echo workloads stand in for it.
    STOOD_IN = "stood in for"
    #: It is no Service, though Services of its namespace are known.
    ABSENT = "absent"
    #: It is a Service that no pod answers for.
    WITHOUT_PODS = "without pods"


@dataclass(frozen=True)
class HostState:
    """What is known of a host: `pods` are the labels of each kind of its pods.

    `reason` says why it is stood in for, or has no pods. `nearest` is the full host that may be
    meant in place of an absent one. `at` is where its Service is, if it has one.
    """

    presence: Presence
    pods: tuple[Labels, ...] = ()
    reason: str = ""
    nearest: str = ""
    at: At | None = None

    @property
    def is_dead(self) -> bool:
        """Whether every request to it is answered by the proxy alone."""
        return self.presence in (Presence.ABSENT, Presence.WITHOUT_PODS)


@dataclass(frozen=True)
class World:
    """What the files hold: Services, hosts of entries, sources of pods, and what may make more.

    `unread` names what was not read and may hold Services and workloads, `unread_workloads` what
    may hold workloads alone.
    """

    services: Mapping[str, Service] = field(default_factory=dict)
    entry_hosts: frozenset[str] = frozenset()
    pod_sources: Mapping[str, Sequence[PodSource]] = field(default_factory=dict)
    makers: tuple[Document, ...] = ()
    unread: tuple[str, ...] = ()
    unread_workloads: tuple[str, ...] = ()

    def describe_host(self, host: str) -> HostState:
        """Return what is known of a full host."""
        if service := self.services.get(host):
            return self._describe_service(service)
        if host in _BUILT_IN_HOSTS or self._has_entry(host):
            return HostState(Presence.PRESENT)
        full_host = f"{host.removesuffix('.svc')}.{CLUSTER_DOMAIN}"
        if full_host in self.services:  # Istio does not complete a name with a dot
            return HostState(Presence.ABSENT, nearest=full_host)
        if not is_service(host):
            return HostState(Presence.STOOD_IN, reason="no ServiceEntry for it is known")
        name, namespace = host.split(".")[:2]
        siblings = self._list_services_of(namespace)
        if not siblings:
            reason = f"no Service of namespace {namespace} is known"
            return HostState(Presence.STOOD_IN, reason=reason)
        nearest = find_closest_word(name, [sibling.document.name for sibling in siblings])
        if reason := self._explain_possible_service(name, namespace, bool(nearest)):
            return HostState(Presence.STOOD_IN, reason=reason)
        nearest_host = f"{nearest}.{namespace}.{CLUSTER_DOMAIN}" if nearest else ""
        return HostState(Presence.ABSENT, nearest=nearest_host)

    def describe_subset(self, host: str, labels: Labels) -> HostState:
        """Return what is known of the pods of a host with these labels."""
        state = self.describe_host(host)
        service = self.services.get(host)
        if state.is_dead or not labels or service is None or not service.selector:
            return state
        selected = dict(service.selector)
        if any(selected.get(key, value) != value for key, value in labels):
            return HostState(Presence.WITHOUT_PODS, reason="its Service selects other pods")
        if state.presence is not Presence.PRESENT:
            return state
        if pods := tuple(pod for pod in state.pods if set(labels) <= set(pod)):
            return HostState(Presence.PRESENT, pods, at=state.at)
        namespace, wanted = service.document.namespace, (*service.selector, *labels)
        if reason := self._explain_possible_pods(namespace, wanted):
            return HostState(Presence.STOOD_IN, reason=reason)
        values = sorted({format_labels(_pick(pod, labels)) for pod in state.pods})
        return HostState(Presence.WITHOUT_PODS, state.pods, " or ".join(values), at=state.at)

    def list_lone_namespaces(self) -> frozenset[str]:
        """Return the namespaces whose known pods are all of one Service: none calls another."""
        return frozenset(
            namespace
            for namespace, sources in self.pod_sources.items()
            if any(
                service.selector and all(pod.is_selected_by(service.selector) for pod in sources)
                for service in self._list_services_of(namespace)
            )
        )

    def _describe_service(self, service: Service) -> HostState:
        """Return what is known of the pods of a Service."""
        namespace, at = service.document.namespace, service.document.at
        if service.type == "ExternalName":
            return HostState(Presence.STOOD_IN, reason="it is another name of a host", at=at)
        if not service.selector:
            return HostState(Presence.STOOD_IN, reason="its Service has no selector", at=at)
        sources = self.pod_sources.get(namespace, ())
        selected = [source for source in sources if source.is_selected_by(service.selector)]
        if pods := dict.fromkeys(source.labels for source in selected if not source.is_empty):
            return HostState(Presence.PRESENT, tuple(pods), at=at)
        if not sources:
            reason = f"no workload of namespace {namespace} is known"
            return HostState(Presence.STOOD_IN, reason=reason, at=at)
        if reason := self._explain_possible_pods(namespace, service.selector):
            pods = dict.fromkeys(source.labels for source in selected)
            return HostState(Presence.STOOD_IN, tuple(pods), reason, at=at)
        if selected:
            names = ", ".join(_name(source.document) for source in selected)
            return HostState(Presence.WITHOUT_PODS, reason=f"{names} has 0 replicas", at=at)
        labels = sorted({format_labels(_pick(s.labels, service.selector)) for s in sources} - {""})
        reason = (
            f"the pods of its namespace have {' or '.join(labels[:4]) or 'none of these labels'}"
        )
        return HostState(Presence.WITHOUT_PODS, reason=reason, at=at)

    def _has_entry(self, host: str) -> bool:
        """Say whether a ServiceEntry has a host, or a wildcard that covers it."""
        return any(is_host_within(host, entry_host) for entry_host in self.entry_hosts)

    def _list_services_of(self, namespace: str) -> list[Service]:
        """Return the Services of a namespace, without those of gateways: they are no apps."""
        return [
            service
            for service in self.services.values()
            if service.document.namespace == namespace and not _selects_gateway(service)
        ]

    def _explain_possible_service(self, name: str, namespace: str, has_nearest: bool) -> str:
        """Return what may make a Service that no file has; empty if nothing may."""
        if self.unread:
            return f"{_list_first(self.unread)} was not read and may have it"
        if namespace in _PLATFORM_NAMESPACES and not has_nearest:
            return f"namespace {namespace} has more Services than those that are known"
        for maker in self.makers:
            is_prefix = name == maker.name or name.startswith(f"{maker.name}-")
            if maker.namespace == namespace and is_prefix:
                return f"{_name(maker)} may make it"
        return ""

    def _explain_possible_pods(self, namespace: str, labels: Labels) -> str:
        """Return what may have pods with these labels that no file shows; empty if nothing may."""
        unread = (*self.unread, *self.unread_workloads)
        if unread:
            return f"{_list_first(unread)} was not read and may have its pods"
        for source in self.pod_sources.get(namespace, ()):
            if not source.is_empty and source.may_be_selected_by(labels):
                return f"the pods of {_name(source.document)} may have more labels than its file"
        return ""


def read_world(
    documents: Sequence[Document],
    inventory: Inventory,
    unread: Sequence[str] = (),
    unread_workloads: Sequence[str] = (),
) -> World:
    """Return the world of documents, which `inventory` was made of; see `World` for the rest."""
    sources: dict[str, list[PodSource]] = {}
    for source in read_pod_sources(documents):
        sources.setdefault(source.document.namespace, []).append(source)
    return World(
        {
            host: service
            for host, service in inventory.services.items()
            if not read_api_group(service.document)
        },
        frozenset(inventory.list_entry_hosts()),
        sources,
        list_makers(documents),
        tuple(unread),
        tuple(unread_workloads),
    )


def list_makers(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Return the objects of kinds that may make Services: those that meshproof does not know."""
    return tuple(
        document
        for document in documents
        if document.group not in _PASSIVE_GROUPS
        and (document.group, document.kind)
        not in (
            ("gateway.networking.k8s.io", "HTTPRoute"),
            ("gateway.networking.k8s.io", "GRPCRoute"),
            ("gateway.networking.k8s.io", "ReferenceGrant"),
        )
    )


def format_labels(labels: Labels) -> str:
    """Return labels as `version=v1, tier=web`."""
    return ", ".join(f"{key}={value}" for key, value in labels)


def _selects_gateway(service: Service) -> bool:
    """Say whether a Service is that of an ingress or egress gateway."""
    return any(
        key in _GATEWAY_LABELS or (key == "istio" and value.endswith("gateway"))
        for key, value in service.selector
    )


def _pick(labels: Labels, wanted: Labels) -> Labels:
    """Return the labels under the keys of `wanted`."""
    keys = {key for key, _ in wanted}
    return tuple(pair for pair in labels if pair[0] in keys and not is_added_label(pair[0]))


def _name(document: Document) -> str:
    """Return `Kind name`."""
    return f"{document.kind} {document.name}"


def _list_first(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
