"""Checks that a proxy's clusters have the endpoints of all ready pods.

Kubernetes calls a pod ready before istiod has told every proxy of it. A subset that selects no pod
never has an endpoint: requests to it get the status 503, which is for the judge. istiod names the
cluster of a Service `outbound|PORT|SUBSET|HOST`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshproof.documents.plain import make_document
from meshproof.inventory.destination_rules import read_destination_rules
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of
from meshproof.mesh.cluster.proxies.proxies import Endpoints, is_running
from meshproof.mesh.cluster.run import workloads

_CLUSTER = re.compile(r"outbound\|(\d+)\|([^|]*)\|(([^.|]+)\.([^.|]+)\.svc\.[^|]+)")

Labels = Mapping[str, str]
#: Cluster -> pod -> its addresses, one of which must be an endpoint.
ExpectedPods = Mapping[str, Mapping[str, frozenset[str]]]


def describe_missing_endpoint(endpoints: Endpoints, expected: ExpectedPods) -> str:
    """Describe the first expected endpoint that a proxy lacks; empty if it has all."""
    for cluster, pods in expected.items():
        cluster_endpoints = endpoints.get(cluster)
        if cluster_endpoints is None:
            continue  # not every proxy has every service (exportTo, Sidecar)
        for pod, addresses in pods.items():
            if not addresses & cluster_endpoints.keys():
                return f"does not have pod {pod} in {cluster} yet"
        if pods and not any(cluster_endpoints.values()):
            return f"has no healthy endpoint in {cluster}"
    return ""


def read_expected_pods(kube: Kube, clusters: Iterable[str]) -> ExpectedPods:
    """Return the pods that each cluster should have: the ready ones that its Service selects.

    Only certain endpoints are expected. The Service must have a selector and its own address and
    may send to any node; a subset must have labels that such pods have.
    """
    matches = {cluster: match for cluster in clusters if (match := _CLUSTER.fullmatch(cluster))}
    namespace_pods = {
        name: _NamespacePods.of(kube, name) for name in sorted({m[5] for m in matches.values()})
    }
    subsets = (
        _read_subset_labels(kube, namespace_pods)
        if any(match[2] for match in matches.values())
        else {}
    )
    expected: dict[str, dict[str, frozenset[str]]] = {}
    for cluster, match in matches.items():
        port, subset, host, name, namespace = match.groups()
        labels = subsets.get((host, subset), ()) if subset else [{}]
        if labels:
            expected[cluster] = namespace_pods[namespace].pods_behind(name, int(port), labels)
    return expected


def _read_subset_labels(
    kube: Kube, namespaces: Iterable[str]
) -> dict[tuple[str, str], list[Labels]]:
    """Return (host, subset) -> the labels that each of the run's DestinationRules gives it."""
    subset_labels: dict[tuple[str, str], list[Labels]] = {}
    for api_version, kind in sorted(kube.applied_kinds):
        for namespace in namespaces if kind == "DestinationRule" else ():
            bodies = kube.list(api_version, kind, namespace)
            for rule in read_destination_rules(make_document(body, kind) for body in bodies):
                for subset in rule.subsets:
                    key = (rule.host, subset.name)
                    subset_labels.setdefault(key, []).append(dict(subset.labels))
    return subset_labels


@dataclass(frozen=True)
class _NamespacePods:
    """The Services and the ready pods of a namespace."""

    services: Mapping[str, Object]
    pods: list[Object]

    @classmethod
    def of(cls, kube: Kube, namespace: str) -> _NamespacePods:
        """Read them from the cluster."""
        services = {
            service["metadata"]["name"]: service
            for service in kube.list("v1", "Service", namespace)
        }
        pods = [pod for pod in kube.list("v1", "Pod", namespace) if is_running(pod)]
        return cls(services, [pod for pod in pods if not [*workloads.describe_unready(pod)]])

    def pods_behind(
        self, name: str, port: int, labels: Iterable[Labels]
    ) -> dict[str, frozenset[str]]:
        """Return pod -> addresses behind a Service's port, of pods with all these labels."""
        spec = self.services[name]["spec"] if name in self.services else {}
        service_port = next(
            (port_spec for port_spec in spec.get("ports", ()) if port_spec["port"] == port), None
        )
        if service_port is None or not _reaches_any_pod(spec):
            return {}
        target = service_port.get("targetPort")
        selectors = [labels_to_match.items() for labels_to_match in (spec["selector"], *labels)]
        return {
            str(pod["metadata"]["name"]): frozenset(_pod_addresses(pod))
            for pod in self.pods
            if all(selector <= labels_of(pod).items() for selector in selectors)
            and _has_port(pod, target)
        }


def _reaches_any_pod(spec: Object) -> bool:
    """Say whether a Service sends requests to any pod that it selects."""
    return bool(
        spec.get("selector")
        and spec.get("clusterIP") != "None"
        and spec.get("type") != "ExternalName"
        and spec.get("internalTrafficPolicy") != "Local"
    )


def _has_port(pod: Object, target: object) -> bool:
    """Say whether a pod has the named target port of a Service; a number always counts."""
    return not isinstance(target, str) or any(
        port.get("name") == target
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    )


def _pod_addresses(pod: Object) -> list[str]:
    """Return all IP addresses of a pod."""
    status = pod.get("status") or {}
    addresses = [str(pod_ip["ip"]) for pod_ip in status.get("podIPs") or ()]
    return addresses or [str(status["podIP"])]
