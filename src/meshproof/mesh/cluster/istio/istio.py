"""The Istio of a cluster: which one it is, whether it works, how it injects.

Source: Istio docs, "Installing the Sidecar" (labels of namespaces, revisions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.port_forward import get
from meshproof.mesh.cluster.ingress.way_in import no_gateway, pods_of
from meshproof.mesh.cluster.istio import revisions
from meshproof.mesh.cluster.istio.revisions import DEFAULT, REVISION
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.proxies.sync import MONITORING_PORT
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import ClusterOptions

#: The label of istiod's workload and pods, whatever its revision.
ISTIOD = "app=istiod"
_INJECTION = {"istio-injection": "enabled"}


@dataclass(frozen=True)
class Istio:
    """A control plane that was found: its namespace, revision, version, what reports say of it.

    `revision` is the one that namespaces ask for, or a tag (empty: that of
    istio-injection=enabled), `injector` that of the istiod which injects then.
    """

    namespace: str
    revision: str
    version: str
    notes: tuple[str, ...]
    ingress: str
    injector: str = DEFAULT

    @classmethod
    def found(cls, kube: Kube, options: ClusterOptions) -> Istio:
        """Look for istiod. Raises NotReady when there is none that runs, with what to do."""
        namespace = options.istio_namespace
        pods = istiods(kube, namespace)
        if not pods:
            raise NotReady(
                f"{kube.place}: there is no istiod in namespace {namespace}: install Istio (for "
                "the run alone: --mesh-install), or name its namespace with --mesh-istio-namespace"
            )
        revision = revisions.injecting(kube, namespace, pods, options.revision)
        fitting = _of_revision(pods, revision)
        running = [pod for pod in fitting if proxies.running(pod)]
        if not running:
            raise NotReady(f"{kube.place}: no istiod runs in namespace {namespace}")
        ready = [pod for pod in running if not [*workloads.unready(pod)]]
        version = _version(kube, (ready or running)[0])
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
    def injection(self) -> dict[str, str]:
        """The labels by which a namespace asks for injection."""
        return {REVISION: self.revision} if self.revision else dict(_INJECTION)

    @property
    def asking(self) -> dict[str, str]:
        """The labels by which a pod asks for this revision where its namespace does not."""
        return {REVISION: self.revision} if self.revision else {}

    @property
    def suffix(self) -> str:
        """What the names of the injector's objects end with; empty without a revision."""
        return "" if self.injector == DEFAULT else self.injector

    def pods(self, kube: Kube) -> list[Object]:
        """Return the pods of istiod, of the revision that injects."""
        return _of_revision(istiods(kube, self.namespace), self.injector)

    def gateway_pods(self, kube: Kube) -> list[Object]:
        """Return the pods of the ingress gateway."""
        namespace, _, name = self.ingress.partition("/")
        service = kube.get("v1", "Service", name, namespace)
        if service is None:
            return []
        return pods_of(kube, service)

    def selector(self, kube: Kube) -> dict[str, str]:
        """Return the labels that the ingress gateway's Service selects. Raises NotReady without."""
        namespace, _, name = self.ingress.partition("/")
        service = kube.get("v1", "Service", name, namespace)
        selector = service["spec"].get("selector") if service else None
        if not selector:
            raise NotReady(no_gateway(kube, namespace, name))
        return dict(selector)

    def gateways(self, kube: Kube) -> list[proxies.Proxy]:
        """Return the proxies of the ingress gateway that run."""
        return proxies.of_gateway(self.gateway_pods(kube))

    def no_gateway(self, kube: Kube) -> str:
        """Return in words that no pod of the ingress gateway runs, and what to give."""
        namespace, _, name = self.ingress.partition("/")
        return no_gateway(kube, namespace, name)


def istiods(kube: Kube, namespace: str) -> list[Object]:
    """Return the pods of istiod in a namespace, of every revision."""
    return kube.list("v1", "Pod", namespace, ISTIOD)


def _of_revision(pods: Sequence[Object], revision: str) -> list[Object]:
    return [pod for pod in pods if revisions.of(pod) == revision]


def _version(kube: Kube, pod: Object) -> str:
    """Return what istiod says of itself: labels and image tags need not tell its version.

    It answers `1.31.0-<commit>-Clean`.
    """
    name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
    answer = get(kube, name, namespace, MONITORING_PORT, "/version").strip()
    return answer.removesuffix("-Clean").rpartition("-")[0] or answer
