"""What the probes of a run are for: plaintext past the sidecars, requests from inside the mesh."""

from __future__ import annotations

from collections.abc import Callable

from meshproof import timeouts
from meshproof.errors import NotReady
from meshproof.mesh.cluster.client import Kube, Object
from meshproof.mesh.cluster.objects import Place
from meshproof.mesh.cluster.probe import Probe
from meshproof.mesh.cluster.proxies import CONTAINER
from meshproof.mesh.protocol import Address, Asked
from meshproof.rules.model import CLUSTER_DOMAIN


class Probes:
    """The probes of one run, each made when it is needed first: they end with their namespaces."""

    def __init__(self, kube: Kube, place: Place) -> None:
        self._kube = kube
        self._place = place
        self._made: dict[tuple[str, bool], Probe] = {}

    def of(self, namespace: str, sidecar: bool) -> Probe:
        """Return the probe in a namespace of the cluster, with a sidecar or without."""
        key = namespace, sidecar
        if key not in self._made:
            self._made[key] = Probe.placed(
                self._kube, namespace, self._place.labels, self._place.image, sidecar
            )
        return self._made[key]

    def close(self) -> None:
        """End the connections to the probes."""
        for probe in self._made.values():
            probe.close()

    def plaintext(self, pod: Object) -> int | None:
        """Ask a pod in plaintext, without a sidecar; return the status, None where it hangs up.

        Raises NotReady where nobody listens, or nothing comes back in time.
        """
        name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
        address = Address(str(pod["status"]["podIP"]), _app_port(pod))
        asked = Asked("GET", "/", (), (), timeouts.REQUEST)
        (answer,) = self.of(namespace, sidecar=False).send(address, [asked], 1, False)
        if answer.lost == "ended":
            return None
        if answer.lost:
            raise NotReady(f"{namespace}/{name}: {address.url}: {answer.lost}: {answer.why}")
        return answer.status

    def inside(self, service: str, known: Callable[[], list[str]]) -> tuple[Address, Probe]:
        """Return where `service[.namespace]` of the files is for a client inside, and a client.

        The client is in the service's own namespace: no export keeps the service from it. `known`
        names the namespaces of the files. Raises NotReady for a service that is not there.
        """
        name, _, short = service.partition(".")
        short = short or "default"
        if short not in known():
            raise NotReady(f"{service}: the run has no namespace {short}: {', '.join(known())}")
        namespace = self._place.namespace(short)
        found = self._kube.get("v1", "Service", name, namespace)
        if found is None:
            raise NotReady(f"there is no Service {name} in {namespace}")
        port = int(found["spec"]["ports"][0]["port"])
        address = Address(f"{name}.{namespace}.{CLUSTER_DOMAIN}", port)
        return address, self.of(namespace, sidecar=True)


def _app_port(pod: Object) -> int:
    """Return the first port that a pod's own containers declare."""
    for container in pod["spec"]["containers"]:
        if container["name"] != CONTAINER:
            for port in container.get("ports") or ():
                return int(port["containerPort"])
    metadata = pod["metadata"]
    raise NotReady(f"{metadata['namespace']}/{metadata['name']}: its containers declare no port")
