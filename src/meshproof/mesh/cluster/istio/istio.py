"""The Istio of a cluster: its namespace, version and revision, and how it injects sidecars.

Source: Istio docs, "Installing the Sidecar" (labels of namespaces, revisions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.port_forward import get_from_pod
from meshproof.mesh.cluster.ingress.address import explain_missing_gateway, list_service_pods
from meshproof.mesh.cluster.istio import revisions
from meshproof.mesh.cluster.istio.revisions import DEFAULT, REVISION_LABEL
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.proxies.sync import MONITORING_PORT
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import ClusterOptions

#: The label of istiod's workload and pods in every revision.
ISTIOD_LABEL = "app=istiod"
_INJECTION_LABELS = {"istio-injection": "enabled"}


@dataclass(frozen=True)
class Istio:
    """A running control plane: its namespace, revision, version and notes for the report.

    `revision` is the revision or tag that namespaces ask for (empty: istio-injection=enabled).
    `injecting_revision` is that of the istiod that injects for it.
    """

    namespace: str
    revision: str
    version: str
    notes: tuple[str, ...]
    ingress: str
    injecting_revision: str = DEFAULT

    @classmethod
    def find(cls, kube: Kube, options: ClusterOptions) -> Istio:
        """Find the running istiod. Raises NotReady, with what to do, when there is none."""
        namespace = options.istio_namespace
        pods = list_istiods(kube, namespace)
        if not pods:
            raise NotReady(
                f"{kube.cluster_name}: there is no istiod in namespace {namespace}: install Istio "
                "(for the run alone: --mesh-install), or name its namespace with "
                "--mesh-istio-namespace"
            )
        revision = revisions.find_injecting_revision(kube, namespace, pods, options.revision)
        fitting = _filter_by_revision(pods, revision)
        running = [pod for pod in fitting if proxies.is_running(pod)]
        if not running:
            raise NotReady(f"{kube.cluster_name}: no istiod runs in namespace {namespace}")
        ready_pods = [pod for pod in running if not [*workloads.describe_unready(pod)]]
        version = _read_version(kube, (ready_pods or running)[0])
        return cls(
            namespace,
            options.revision,
            version,
            (
                f"Kubernetes {kube.version()}",
                f"istiod {version} (namespace {namespace}, revision {revision})",
            ),
            options.ingress,
            revision,
        )

    @property
    def injection_labels(self) -> dict[str, str]:
        """The labels by which a namespace requests injection."""
        return {REVISION_LABEL: self.revision} if self.revision else dict(_INJECTION_LABELS)

    @property
    def revision_labels(self) -> dict[str, str]:
        """The labels by which a pod requests this revision where its namespace does not."""
        return {REVISION_LABEL: self.revision} if self.revision else {}

    @property
    def revision_suffix(self) -> str:
        """The ending of the names of the injector's objects; empty for the default revision."""
        return "" if self.injecting_revision == DEFAULT else self.injecting_revision

    def list_pods(self, kube: Kube) -> list[Object]:
        """Return the istiod pods of the injecting revision."""
        return _filter_by_revision(list_istiods(kube, self.namespace), self.injecting_revision)

    def list_gateway_pods(self, kube: Kube) -> list[Object]:
        """Return the pods of the ingress gateway."""
        namespace, _, name = self.ingress.partition("/")
        service = kube.get("v1", "Service", name, namespace)
        if service is None:
            return []
        return list_service_pods(kube, service)

    def read_gateway_selector(self, kube: Kube) -> dict[str, str]:
        """Return the pod selector of the ingress gateway's Service. Raises NotReady without one."""
        namespace, _, name = self.ingress.partition("/")
        service = kube.get("v1", "Service", name, namespace)
        selector = service["spec"].get("selector") if service else None
        if not selector:
            raise NotReady(explain_missing_gateway(kube, namespace, name))
        return dict(selector)

    def list_gateways(self, kube: Kube) -> list[proxies.Proxy]:
        """Return the running proxies of the ingress gateway."""
        return proxies.gateway_proxies(self.list_gateway_pods(kube))

    def explain_missing_gateway(self, kube: Kube) -> str:
        """Explain why no pod of the ingress gateway runs; name the option for a wrong Service."""
        namespace, _, name = self.ingress.partition("/")
        return explain_missing_gateway(kube, namespace, name)


def list_istiods(kube: Kube, namespace: str) -> list[Object]:
    """Return the istiod pods in a namespace, of every revision."""
    return kube.list("v1", "Pod", namespace, ISTIOD_LABEL)


def _filter_by_revision(pods: Sequence[Object], revision: str) -> list[Object]:
    """Return the pods of one revision."""
    return [pod for pod in pods if revisions.revision_of(pod) == revision]


def _read_version(kube: Kube, pod: Object) -> str:
    """Ask an istiod for its version, which labels and image tags need not tell.

    It answers `1.31.0-<commit>-Clean`.
    """
    name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
    version_text = get_from_pod(kube, name, namespace, MONITORING_PORT, "/version").strip()
    return version_text.removesuffix("-Clean").rpartition("-")[0] or version_text
