"""The Istio of a cluster: which one it is, whether it works, how it injects.

Source: Istio docs, "Installing the Sidecar" (labels of namespaces, revisions).
"""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.errors import NotReady
from meshproof.mesh.cluster import proxies
from meshproof.mesh.cluster.client import Kube, labels_of
from meshproof.mesh.protocol import ClusterOptions

REVISION = "istio.io/rev"
_INJECTION = {"istio-injection": "enabled"}


@dataclass(frozen=True)
class Istio:
    """A control plane that was found: its namespace, revision and what reports say of it."""

    namespace: str
    revision: str
    notes: tuple[str, ...]
    ingress: str

    @classmethod
    def found(cls, kube: Kube, options: ClusterOptions) -> Istio:
        """Look for istiod. Raises NotReady when there is none that runs, with what to do."""
        namespace = options.istio_namespace
        pods = kube.list("v1", "Pod", namespace, "app=istiod")
        if not pods:
            raise NotReady(
                f"{kube.place}: there is no istiod in namespace {namespace}: install Istio, "
                "or name its namespace with --mesh-istio-namespace"
            )
        wanted = options.revision
        fitting = [pod for pod in pods if not wanted or labels_of(pod).get(REVISION) == wanted]
        if not fitting:
            known = sorted({labels_of(pod).get(REVISION, "default") for pod in pods})
            raise NotReady(f"no istiod of revision {wanted}; there are {', '.join(known)}")
        running = [pod for pod in fitting if proxies.running(pod)]
        if not running:
            raise NotReady(f"{kube.place}: no istiod runs in namespace {namespace}")
        image = str(running[0]["spec"]["containers"][0]["image"])
        version = labels_of(running[0]).get("app.kubernetes.io/version") or image
        return cls(
            namespace,
            wanted,
            (f"Kubernetes {kube.version()}", f"Istio {version} (istiod's image {image})"),
            options.ingress,
        )

    @property
    def injection(self) -> dict[str, str]:
        """The labels by which a namespace asks for injection."""
        return {REVISION: self.revision} if self.revision else dict(_INJECTION)

    def gateways(self, kube: Kube) -> list[proxies.Proxy]:
        """Return the pods of the ingress gateway."""
        namespace, _, name = self.ingress.partition("/")
        service = kube.get("v1", "Service", name, namespace)
        if service is None:
            return []
        selector = service["spec"].get("selector") or {}
        words = ",".join(f"{key}={value}" for key, value in selector.items())
        return proxies.of_gateway(kube, namespace, words)
