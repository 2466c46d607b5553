"""The probes of one run: plaintext checks, requests from inside, counters of clients."""

from __future__ import annotations

from collections.abc import Mapping

from meshproof.base.errors import NotReady
from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.api.port_forward import Channel
from meshproof.mesh.cluster.proxies.proxies import ADMIN_PORT, CONTAINER, Proxy
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.counters import Counters
from meshproof.mesh.http import HttpRequest, LossReason, NoResponse
from meshproof.mesh.protocol import Address


class Probes:
    """The probes of one run, each created on first use; they end with their namespaces."""

    def __init__(self, kube: Kube, scope: RunScope, injection_labels: Mapping[str, str]) -> None:
        """`injection_labels` select the right revision for a pod's sidecar."""
        self._kube = kube
        self._scope = scope
        self._labels = {**scope.labels, **injection_labels}
        self._probes: dict[tuple[str, bool], Probe] = {}
        self._admins: dict[Proxy, Channel] = {}

    def probe_in(self, namespace: str, sidecar: bool) -> Probe:
        """Return the probe in a namespace of the cluster, with a sidecar or without."""
        key = namespace, sidecar
        if key not in self._probes:
            self._probes[key] = Probe.start(
                self._kube, namespace, self._labels, self._scope.map_image, sidecar
            )
        return self._probes[key]

    def close(self) -> None:
        """End the connections to the probes and to the counting proxies."""
        for probe in self._probes.values():
            probe.close()
        for admin in self._admins.values():
            admin.close()

    def probe_plaintext(self, pod: Object) -> int | None:
        """Send plaintext to a pod; return the status, None if the connection ends unanswered.

        Raises NotReady if nobody listens or no answer arrives in time.
        """
        return self._probe(pod, tls=False)

    def probe_tls(self, pod: Object) -> int | None:
        """Do as `probe_plaintext`, by TLS without a client certificate."""
        return self._probe(pod, tls=True)

    def _probe(self, pod: Object, tls: bool) -> int | None:
        """Send a request to a pod past every sidecar but its own."""
        name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
        address = Address(str(pod["status"]["podIP"]), _find_app_port(pod), tls=tls)
        probe = self.probe_in(namespace, sidecar=False)
        (outcome,) = probe.send(address, [HttpRequest("/")], 1, False)
        if not isinstance(outcome, NoResponse):
            return outcome.status
        if outcome.reason is LossReason.ENDED:
            return None
        raise NotReady(f"{namespace}/{name}: {address.url}: {outcome}")

    def resolve_service(self, service: str, file_namespaces: list[str]) -> tuple[str, str]:
        """Return name and cluster namespace of the files' `service[.namespace]`.

        Raises NotReady for a namespace that is not in `file_namespaces`.
        """
        name, _, file_namespace = service.partition(".")
        file_namespace = file_namespace or "default"
        if file_namespace not in file_namespaces:
            raise NotReady(
                f"{service}: the run has no namespace {file_namespace}: "
                f"{', '.join(file_namespaces)}"
            )
        return name, self._scope.namespace_for(file_namespace)

    def start_counters(
        self, service: str, file_namespaces: list[str], proxies: list[Proxy]
    ) -> Counters:
        """Begin to count the requests to `service[.namespace]` at these proxies."""
        name, namespace = self.resolve_service(service, file_namespaces)
        for proxy in proxies:
            if proxy not in self._admins:
                self._admins[proxy] = Channel(self._kube, proxy.pod, proxy.namespace, ADMIN_PORT)
        readers = {str(proxy): self._admins[proxy].ask for proxy in proxies}
        return Counters(readers, f"{name}.{namespace}.{CLUSTER_DOMAIN}")

    def find_inside_client(self, service: str, file_namespaces: list[str]) -> tuple[Address, Probe]:
        """Return the address of the files' `service[.namespace]` inside the mesh, and a client.

        The client is in the service's namespace, so it sees the service whatever its export. Raises
        NotReady for an unknown service or namespace.
        """
        name, namespace = self.resolve_service(service, file_namespaces)
        service_body = self._kube.get("v1", "Service", name, namespace)
        if service_body is None:
            raise NotReady(f"there is no Service {name} in {namespace}")
        port = int(service_body["spec"]["ports"][0]["port"])
        address = Address(f"{name}.{namespace}.{CLUSTER_DOMAIN}", port)
        return address, self.probe_in(namespace, sidecar=True)


def _find_app_port(pod: Object) -> int:
    """Return the first port that the pod's own containers declare. Raises NotReady without one."""
    for container in pod["spec"]["containers"]:
        if container["name"] != CONTAINER:
            for port in container.get("ports") or ():
                return int(port["containerPort"])
    metadata = pod["metadata"]
    raise NotReady(f"{metadata['namespace']}/{metadata['name']}: its containers declare no port")
