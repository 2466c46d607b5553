"""The istiod mesh: a real istiod, and Envoys and apps as processes on loopback; no cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from meshproof.base.errors import NotReady
from meshproof.documents.manifest import Document
from meshproof.mesh.addons import Addon
from meshproof.mesh.app_mesh import AppMesh
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.envoy import topology
from meshproof.mesh.envoy.app import App
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import find_binary
from meshproof.mesh.istiod.addresses import Addresses, choose_call_ports
from meshproof.mesh.istiod.binaries import find_binaries
from meshproof.mesh.istiod.control_plane import MESH_CONFIG, ControlPlane
from meshproof.mesh.istiod.ingress import IstiodIngress
from meshproof.mesh.istiod.objects import (
    INBOUND_PORT,
    PROXY_LABEL,
    EndpointAddress,
    Placed,
    make_fixed_objects,
    make_service_entry,
    make_sidecar,
    read_rules,
)
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.istiod.serving import Serving
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import (
    Address,
    Aspect,
    AspectReport,
    Feature,
    Lack,
    Options,
    Served,
)
from meshproof.rules.model import RuleSet

_FEATURES = (
    *(Feature.HTTP_WEIGHTS, Feature.HEADER_MATCH, Feature.INGRESS, Feature.INSIDE),
    Feature.COUNTERS,
)


class _Pod:
    """A replica: its app and its proxy, at an address of its own."""

    def __init__(self, pod: topology.Pod, app: App, proxy: IstioProxy, call_port: int) -> None:
        self.pod = pod
        self.app = app
        self.proxy = proxy
        self.call_port = call_port

    def make_sidecar(self) -> Placed:
        """Return the object with the listeners of the proxy."""
        proxy = self.proxy
        return Placed(
            make_sidecar(
                proxy.namespace, proxy.name, proxy.address, [self.call_port], self.app.port
            )
        )


class NoAddons:
    """The addons of a mesh that has none yet."""

    def find_lack(self, name: str) -> Lack | None:
        """Return why an addon does not run."""
        return Lack(f"the istiod mesh does not support {name} yet")

    def get_ready(self, name: str, seconds: float = 0.0) -> Addon:
        """Raise NotReady: there is no addon."""
        raise NotReady(str(self.find_lack(name)))

    def receive_spans(self, name: str) -> None:
        """Raise NotReady: there is no addon."""
        raise NotReady(str(self.find_lack(name)))


class IstiodMesh(AppMesh):
    """A real istiod, an ingress and, for each pod, an app process with its sidecar Envoy."""

    name = "istiod"
    proven = (
        "the rules mean what you think: a real istiod takes them and real Envoys do what it makes "
        "of them, without mTLS; the proxies are upstream Envoys on this machine, not a cluster's"
    )
    supports = frozenset(_FEATURES)
    _istiod_standin = "ServiceEntries of istiod for Services and pods"

    def __init__(self, options: Options, workspace: Workspace) -> None:
        super().__init__(options, workspace)
        binaries = find_binaries(options.istiod, options.cluster.image_prefix)
        self._binary = find_binary(options.envoy)
        self._control_plane = ControlPlane(
            workspace, binaries, Authority(workspace.path / "certificates")
        )
        self._serving = Serving(self._control_plane)
        self._addresses = Addresses()
        self._ingress: IstiodIngress = IstiodIngress(
            workspace, self._binary, self._control_plane, self._addresses, options.ingress_port
        )
        self._pods: list[_Pod] = []
        self.addons = NoAddons()

    def _start(self) -> None:
        """Start istiod."""
        self._control_plane.start(MESH_CONFIG)

    @property
    def notes(self) -> list[str]:
        """The facts about this mesh for reports: which istiod it has."""
        return [f"istiod {self._control_plane.version}"]

    def _list_apps(self) -> list[App]:
        """Return the apps of all pods."""
        return [pod.app for pod in self._pods]

    def _list_proxies(self) -> list[IstioProxy]:
        """Return all Envoys, the ingress's first."""
        return [self._ingress.proxy, *(pod.proxy for pod in self._pods)]

    def deploy(self, documents: Sequence[Document]) -> None:
        """Start the apps in `documents` and serve the ingress rules among them."""
        new_pods = [self._start_pod(pod) for pod in self._add_manifests(documents)]
        if not self._pods:
            self._ingress.proxy.start()
        self._pods += new_pods
        for pod in new_pods:
            pod.app.wait_listening()
        for proxy in self._list_proxies():
            proxy.wait_started()
        self._serve(self._ingress_rules + self._current_rules)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(App.wait_ready, [pod.app for pod in new_pods]))

    def _start_pod(self, pod: topology.Pod) -> _Pod:
        """Start the app and the proxy of a pod."""
        proxy = IstioProxy(
            pod.name,
            self._workspace,
            self._binary,
            self._control_plane.xds_port,
            self._addresses.take(),
            pod.namespace,
            (*pod.labels, (PROXY_LABEL, pod.name)),
        )
        port = self._find_called_port(pod.namespace)
        call_port = choose_call_ports(proxy.address, [port])[port]
        app = App(pod, self._workspace)
        app.start(Address(proxy.address, call_port))
        proxy.start()
        return _Pod(pod, app, proxy, call_port)

    def _find_called_port(self, namespace: str) -> int:
        """Return the port of all services of a namespace: an app calls them at one listener.

        Raises BadRules if they have several.
        """
        ports: dict[int, topology.Service] = {}
        for service in self._topology.services:
            if service.namespace == namespace:
                ports.update(dict.fromkeys(service.ports, service))
        if len(ports) > 1:
            raise [*ports.values()][-1].at.unsupported(
                f"the services of namespace {namespace} have the ports "
                f"{', '.join(map(str, sorted(ports)))}: the istiod mesh takes one for all yet"
            )
        return next(iter(ports), 80)

    def _serve(self, rules: RuleSet) -> Served:
        """Serve `rules` everywhere; return when every proxy has acknowledged them."""
        address = self._ingress.proxy.address
        objects = [
            *make_fixed_objects(),
            *self._ingress.make_objects(rules.gateways),
            *map(self._make_service, self._topology.services),
            *(pod.make_sidecar() for pod in self._pods),
            *read_rules(rules.documents, address, gateways=rules.gateways),
        ]
        self.served = served = self._serving.serve(objects, self._list_proxies(), rules)
        return served

    def _make_service(self, service: topology.Service) -> Placed:
        """Return the object that stands for a service and its pods."""
        selected = self._topology.select_pods(service)
        endpoints = [
            EndpointAddress(
                pod.proxy.address, dict.fromkeys(service.ports, INBOUND_PORT), pod.proxy.labels
            )
            for pod in self._pods
            if pod.pod in selected
        ]
        return Placed(
            make_service_entry(
                service.namespace, service.name, service.host, service.ports, endpoints
            )
        )

    def probe_plaintext(self, replica: str) -> int | None:
        """Raise NotReady: this mesh lacks the feature."""
        raise NotReady(f"{replica}: the istiod mesh has no mTLS yet, and no probe of it")

    def probe_tls(self, replica: str) -> int | None:
        """Raise NotReady: this mesh lacks the feature."""
        return self.probe_plaintext(replica)

    def inspect_control_plane(self, aspect: Aspect) -> AspectReport:
        """Raise NotReady: this mesh lacks the feature."""
        raise NotReady(f"the istiod mesh does not inspect its control plane yet: {aspect}")

    def sandbox(self) -> contextlib.AbstractContextManager[CaseMesh]:
        """Raise NotReady: this mesh lacks the feature."""
        raise NotReady("the istiod mesh has no sandbox: it serves --mesh-rules itself")

    def require_processes(self) -> None:
        """Raise an error if a process of the mesh has ended; see `Mesh.require_processes`."""
        self._control_plane.require_alive()
        super().require_processes()
