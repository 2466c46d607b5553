"""Whether the clusters of a proxy have the endpoints that they should: those of ready pods.

A pod is ready for Kubernetes before istiod has told every proxy of it. A subset that selects nobody
has no endpoint ever: who asks is answered with 503, that is for the judge and nothing to wait for.
The name of a cluster that istiod makes of a Service is `outbound|PORT|SUBSET|HOST`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshproof.base.names import full_name
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of
from meshproof.mesh.cluster.proxies.proxies import Endpoints, is_running
from meshproof.mesh.cluster.run import workloads

_CLUSTER = re.compile(r"outbound\|(\d+)\|([^|]*)\|(([^.|]+)\.([^.|]+)\.svc\.[^|]+)")

Labels = Mapping[str, str]
#: Name of a cluster -> name of a pod -> its addresses, any of which stands for it.
ExpectedPods = Mapping[str, Mapping[str, frozenset[str]]]


def describe_missing_endpoint(found: Endpoints, awaited: ExpectedPods) -> str:
    """Return in words which endpoint a proxy does not have yet, of those of its clusters."""
    for cluster, pods in awaited.items():
        there = found.get(cluster)
        if there is None:
            continue  # not every proxy has every service (exportTo, Sidecar)
        for pod, addresses in pods.items():
            if not addresses & there.keys():
                return f"does not have pod {pod} in {cluster} yet"
        if pods and not any(there.values()):
            return f"has no healthy endpoint in {cluster}"
    return ""


def read_expected_pods(kube: Kube, clusters: Iterable[str]) -> ExpectedPods:
    """Return which pods should be in some clusters: those ready now that their Services select.

    Only what is sure is awaited: of Services with a selector and an address of their own whose
    requests may go to any node, and of subsets by labels that such pods have.
    """
    matches = {one: match for one in clusters if (match := _CLUSTER.fullmatch(one))}
    around = {
        name: _NamespacePods.of(kube, name) for name in sorted({m[5] for m in matches.values()})
    }
    subsets = (
        _read_subset_labels(kube, around) if any(match[2] for match in matches.values()) else {}
    )
    found: dict[str, dict[str, frozenset[str]]] = {}
    for cluster, match in matches.items():
        port, subset, host, name, namespace = match.groups()
        labels = subsets.get((host, subset), ()) if subset else [{}]
        if labels:
            found[cluster] = around[namespace].pods_behind(name, int(port), labels)
    return found


def _read_subset_labels(
    kube: Kube, namespaces: Iterable[str]
) -> dict[tuple[str, str], list[Labels]]:
    """Return host and name of a subset -> its labels, as each rule has them that the run knows."""
    found: dict[tuple[str, str], list[Labels]] = {}
    for api_version, kind in sorted(kube.applied_kinds):
        for namespace in namespaces if kind == "DestinationRule" else ():
            for rule in kube.list(api_version, kind, namespace):
                host = full_name(str(rule["spec"]["host"]), namespace)
                for one in rule["spec"].get("subsets") or ():
                    found.setdefault((host, one["name"]), []).append(one.get("labels") or {})
    return found


@dataclass(frozen=True)
class _NamespacePods:
    """The Services and the pods of a namespace."""

    services: Mapping[str, Object]
    pods: list[Object]

    @classmethod
    def of(cls, kube: Kube, namespace: str) -> _NamespacePods:
        services = {one["metadata"]["name"]: one for one in kube.list("v1", "Service", namespace)}
        pods = [one for one in kube.list("v1", "Pod", namespace) if is_running(one)]
        return cls(services, [one for one in pods if not [*workloads.describe_unready(one)]])

    def pods_behind(
        self, name: str, port: int, labels: Iterable[Labels]
    ) -> dict[str, frozenset[str]]:
        """Return the pods behind a port of a Service that have all these labels."""
        spec = self.services[name]["spec"] if name in self.services else {}
        there = next((one for one in spec.get("ports", ()) if one["port"] == port), None)
        if there is None or not _reaches_any_pod(spec):
            return {}
        target = there.get("targetPort")
        wanted = [one.items() for one in (spec["selector"], *labels)]
        return {
            str(pod["metadata"]["name"]): frozenset(_pod_addresses(pod))
            for pod in self.pods
            if all(one <= labels_of(pod).items() for one in wanted) and _has_port(pod, target)
        }


def _reaches_any_pod(spec: Object) -> bool:
    """Say whether requests to a Service go to any pod that it selects."""
    return bool(
        spec.get("selector")
        and spec.get("clusterIP") != "None"
        and spec.get("type") != "ExternalName"
        and spec.get("internalTrafficPolicy") != "Local"
    )


def _has_port(pod: Object, target: object) -> bool:
    """Say whether a pod has the port that a Service names; a number needs none."""
    return not isinstance(target, str) or any(
        port.get("name") == target
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    )


def _pod_addresses(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    listed = [str(one["ip"]) for one in status.get("podIPs") or ()]
    return listed or [str(status["podIP"])]
