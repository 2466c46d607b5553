"""Turns documents of the files into objects of one run: own namespaces, labels, one host name.

A run puts nothing next to other people's objects. Each namespace of the files becomes one of the
run's, and the run's gateways take a host name that nobody else uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE
from meshproof.documents.manifest import At, Document
from meshproof.inventory.workloads import WORKLOAD_KINDS

#: The label of everything that a run creates; its value is the run's name.
RUN_LABEL = "meshproof/run"
MANAGED_BY = "app.kubernetes.io/managed-by"
ROUTING = "networking.istio.io"


@dataclass(frozen=True)
class RunObject:
    """An object to apply, and the line of the file that it comes from."""

    body: dict[str, Any]
    at: At | None = None

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace, empty for a cluster-wide object."""
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The object's identity: API version, kind, namespace and name."""
        return str(self.body["apiVersion"]), self.kind, self.namespace, self.name


@dataclass(frozen=True)
class RunScope:
    """The namespaces, labels and host of one run; `run` is its name, a valid part of a DNS label.

    `map_image` maps an image reference to the one to pull (see `images`). With `small`, pods that
    set no requests and limits get small ones.
    """

    run: str
    map_image: Callable[[str], str] = str
    small: bool = False

    @property
    def host(self) -> str:
        """The host name that the run's gateways take (RFC 6761: `.test` resolves nowhere)."""
        return f"meshproof-{self.run}.test"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that the run creates."""
        return {RUN_LABEL: self.run, MANAGED_BY: "meshproof"}

    def namespace_for(self, name: str) -> str:
        """Return the run's namespace for a namespace of the files."""
        return f"meshproof-{self.run}" + ("" if name == "default" else f"-{name}")

    def file_namespaces(self, documents: Iterable[Document]) -> list[str]:
        """Return the namespaces of the files' objects, without the root namespace."""
        names = {
            document.name if document.kind == "Namespace" else document.namespace
            for document in documents
        }
        return sorted(names - {ROOT_NAMESPACE})

    def make_objects(
        self, document: Document, file_namespaces: Iterable[str]
    ) -> Iterator[RunObject]:
        """Yield the objects to apply for one document; `file_namespaces` are those of all files.

        A policy for the whole mesh becomes one in each of the run's namespaces, as others share the
        mesh. A Namespace yields nothing: the run makes its own.
        """
        if document.kind == "Namespace":
            return
        if document.namespace == ROOT_NAMESPACE:
            namespaces = [self.namespace_for(namespace) for namespace in file_namespaces]
        else:
            namespaces = [self.namespace_for(document.namespace)]
        for namespace in namespaces:
            body = _NamespaceRewriter(self).rewrite(document.root.to_python())
            metadata = body["metadata"]
            metadata["namespace"] = namespace
            metadata["labels"] = {**metadata.get("labels", {}), **self.labels}
            _label_pods(body, self.labels)
            _shorten_grace_period(body)
            if self.small:
                _set_small_resources(body)
            if document.group == ROUTING:
                self._use_run_host(body)
            yield RunObject(body, document.at)

    def _use_run_host(self, body: dict[str, Any]) -> None:
        """Narrow the hosts of a gateway, and of the routes behind it, to the run's host."""
        spec = body.get("spec", {})
        for server in spec.get("servers", ()):
            server["hosts"] = [_narrow_host(host, self.host) for host in server.get("hosts", ())]
        if body["kind"] == "VirtualService" and spec.get("gateways", [MESH]) != [MESH]:
            spec["hosts"] = [_narrow_host(host, self.host) for host in spec.get("hosts", ())]


def _narrow_host(host: str, run_host: str) -> str:
    """Return the run's host in place of `*`; any other host unchanged."""
    namespace, slash, name = host.rpartition("/")
    return f"{namespace}{slash}{run_host}" if name == "*" else host


#: Makes a sidecar count requests by cluster (Istio docs, "Envoy Statistics"), and close after one
#: second, not 45, the connections that it serves as before a change (Istio docs, "ProxyConfig",
#: drainDuration).
SIDECAR_ANNOTATIONS = {
    "sidecar.istio.io/statsInclusionPrefixes": "cluster.outbound",
    "proxy.istio.io/config": "drainDuration: 1s\n",
}


def _get_pod_template(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the template of a workload's pods, a Pod itself, None for any other object."""
    if body["kind"] not in WORKLOAD_KINDS:
        return None
    return body if body["kind"] == "Pod" else body.get("spec", {}).get("template")


def _label_pods(body: dict[str, Any], labels: dict[str, str]) -> None:
    """Label the pods of a workload as the run's; other kinds are left alone.

    Their sidecars count requests by cluster and drain quickly, unless the file says how they do.
    """
    template = _get_pod_template(body)
    if template:
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
        metadata["annotations"] = {**SIDECAR_ANNOTATIONS, **metadata.get("annotations", {})}


#: Small resources of a container and of its sidecar (Istio docs, "Resource Annotations"). A
#: namespace with a ResourceQuota admits no pod without them (Kubernetes docs, "Resource Quotas").
SMALL_RESOURCES = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}
SMALL_SIDECAR_ANNOTATIONS = {
    "sidecar.istio.io/proxyCPU": "10m",
    "sidecar.istio.io/proxyMemory": "64Mi",
    "sidecar.istio.io/proxyCPULimit": "1",
    "sidecar.istio.io/proxyMemoryLimit": "256Mi",
}
#: Seconds. A sidecar drains for 5 (Istio docs, "ProxyConfig", terminationDrainDuration), and the
#: deletion of a namespace polls at the longest period of its pods (Kubernetes,
#: namespaced_resources_deleter.go).
_GRACE_SECONDS = 1


def _shorten_grace_period(body: dict[str, Any]) -> None:
    """Let the pods of a workload end at once, unless the file sets a grace period.

    When a run deletes them, no request is under way.
    """
    template = _get_pod_template(body)
    if template:
        template["spec"].setdefault("terminationGracePeriodSeconds", _GRACE_SECONDS)


def _set_small_resources(body: dict[str, Any]) -> None:
    """Give each container of a workload, and its sidecar, small requests and limits."""
    template = _get_pod_template(body)
    if not template:
        return
    metadata = template.setdefault("metadata", {})
    metadata["annotations"] = {**SMALL_SIDECAR_ANNOTATIONS, **metadata.get("annotations", {})}
    pod = template["spec"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        container.setdefault("resources", SMALL_RESOURCES)


class _NamespaceRewriter:
    """Replaces the files' namespaces by the run's inside values: `name.ns.svc...` and `ns/name`."""

    def __init__(self, scope: RunScope) -> None:
        self._scope = scope

    def rewrite(self, value: Any, key: str = "") -> Any:
        """Return a value with its namespaces and images replaced; `key` is the key it is under."""
        if isinstance(value, dict):
            return {name: self.rewrite(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [self.rewrite(child, key) for child in value]
        if not isinstance(value, str):
            return value
        if key == "image":
            return self._scope.map_image(value)
        if key == "namespace":  # of a reference; the object's own namespace is set later
            return self._scope.namespace_for(value)
        if key in ("gateways", "hosts", "host"):
            return self._rewrite_name(value)
        return value

    def _rewrite_name(self, text: str) -> str:
        """Return the full name of a service, or a `namespace/name`, with the run's namespace."""
        namespace, slash, name = text.partition("/")
        if slash and namespace not in (".", "*"):
            return f"{self._scope.namespace_for(namespace)}/{self._rewrite_name(name)}"
        if slash:
            return f"{namespace}/{self._rewrite_name(name)}"
        if text.endswith(f".{CLUSTER_DOMAIN}"):
            service, _, service_namespace = text.removesuffix(f".{CLUSTER_DOMAIN}").partition(".")
            return f"{service}.{self._scope.namespace_for(service_namespace)}.{CLUSTER_DOMAIN}"
        return text
