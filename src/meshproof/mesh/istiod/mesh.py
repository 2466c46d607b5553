"""The istiod mesh: a real istiod, and Envoys and apps as processes on loopback; no cluster."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshproof import rules
from meshproof.base import signals
from meshproof.base.clues import Clue
from meshproof.base.errors import MeshproofError, NotReady
from meshproof.base.files import name_file
from meshproof.base.signals import interruptible
from meshproof.documents.manifest import Document
from meshproof.mesh.addons import Addon
from meshproof.mesh.counters import Counters
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.envoy import topology
from meshproof.mesh.envoy.app import App, describe_standins, make_replica, require_standin
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
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import (
    Address,
    Aspect,
    AspectReport,
    Feature,
    Lack,
    Options,
    Replica,
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

    def get_ready(self, name: str) -> Addon:
        """Raise NotReady: there is no addon."""
        raise NotReady(str(self.find_lack(name)))


class IstiodMesh:
    """A real istiod, an ingress and, for each pod, an app process with its sidecar Envoy."""

    name = "istiod"
    proven = (
        "the rules mean what you think: a real istiod takes them and real Envoys do what it makes "
        "of them, without mTLS; the proxies are upstream Envoys on this machine, not a cluster's"
    )
    supports = frozenset(_FEATURES)

    def __init__(self, options: Options, workspace: Workspace) -> None:
        binaries = find_binaries(options.istiod, options.cluster.image_prefix)
        self._binary = find_binary(options.envoy)
        self._workspace = workspace
        self._control_plane = ControlPlane(
            workspace, binaries, Authority(workspace.path / "certificates")
        )
        self._serving = Serving(self._control_plane)
        self._addresses = Addresses()
        self._ingress = IstiodIngress(
            workspace, self._binary, self._control_plane, self._addresses, options.ingress_port
        )
        self._pods: list[_Pod] = []
        self._topology = topology.Topology()
        self._ingress_rules = RuleSet()
        self._current_rules = RuleSet()
        self.served: Served | None = None
        self.addons = NoAddons()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options) -> Iterator[IstiodMesh]:
        """Start an empty mesh; end it with everything in it when the context ends."""
        with interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace)
            mesh._control_plane.start(MESH_CONFIG)
            yield mesh

    @property
    def workspace(self) -> Workspace:
        """Folder and processes of this mesh."""
        return self._workspace

    @property
    def standins(self) -> list[str]:
        """The stand-ins for official parts, one sentence each."""
        return [
            "upstream Envoy for istio-proxy",
            "ServiceEntries of istiod for Services and pods",
            *describe_standins(pod.pod for pod in self._pods),
        ]

    @property
    def notes(self) -> list[str]:
        """The facts about this mesh for reports: which istiod it has."""
        return [f"istiod {self._control_plane.version}"]

    @property
    def _proxies(self) -> list[IstioProxy]:
        """All proxies, the ingress's first."""
        return [self._ingress.proxy, *(pod.proxy for pod in self._pods)]

    def deploy(self, documents: Sequence[Document]) -> None:
        """Start the apps in `documents` and serve the ingress rules among them."""
        routing = [document for document in documents if document.group in topology.RULE_GROUPS]
        workloads = topology.read_topology(
            document for document in documents if document.group not in topology.RULE_GROUPS
        )
        for workload_pod in workloads.pods:
            require_standin(workload_pod)
        if routing:
            self._ingress_rules += rules.read_rules(routing)
        self._topology = self._topology + workloads
        new_pods = [self._start_pod(pod) for pod in workloads.pods]
        if not self._pods:
            self._ingress.proxy.start()
        self._pods += new_pods
        for pod in new_pods:
            pod.app.wait_listening()
        for proxy in self._proxies:
            proxy.wait_started()
        self._serve(self._current_rules)
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
        app.start(f"{proxy.address}:{call_port}")
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

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[Served]:
        """Serve `rules` beside the ingress rules while the context lasts."""
        former_rules = self._current_rules
        try:
            served = self._serve(rules)
            self._current_rules = rules
            yield served
        except BaseException:
            with contextlib.suppress(MeshproofError):  # the first error is the one to be told
                self._return_to(former_rules)
            raise
        else:
            self._return_to(former_rules)

    def _return_to(self, former_rules: RuleSet) -> None:
        """Serve the former rules; skip that after a signal, since the mesh will end."""
        self._current_rules = former_rules
        if not signals.is_ending():
            self._serve(former_rules)

    def _serve(self, rules: RuleSet) -> Served:
        """Serve `rules` and the ingress rules; return when every proxy has acknowledged them."""
        all_rules = self._ingress_rules + rules
        address = self._ingress.proxy.address
        objects = [
            *make_fixed_objects(address),
            self._ingress.make_service(all_rules.gateways),
            *map(self._make_service, self._topology.services),
            *(pod.make_sidecar() for pod in self._pods),
            *read_rules(all_rules.documents, address),
        ]
        self.served = served = self._serving.serve(objects, self._proxies, all_rules)
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

    def address(self, service: str) -> Address:
        """Return the address of the ingress; `service` must be `ingress`."""
        if service != "ingress":
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        return self._ingress.address()

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

    def find_inside_client(self, service: str) -> tuple[Address, LocalSender]:
        """Return the listener by which a pod in the service's namespace calls that service."""
        callee = self._topology.find_service(service)
        for pod in self._pods:
            if pod.pod.namespace == callee.namespace:
                authority = f"{callee.host}:{min(callee.ports)}"
                return Address(pod.proxy.address, pod.call_port, authority), LocalSender()
        raise NotReady(f"there is no pod in namespace {callee.namespace} that could call {service}")

    def start_counters(self, service: str) -> Counters:
        """Start to count the requests to a service, at every proxy."""
        host = self._topology.find_service(service).host
        return Counters({proxy.name: proxy.read_admin for proxy in self._proxies}, host)

    def require_processes(self) -> None:
        """Raise an error if a process of the mesh has ended; see `Mesh.require_processes`."""
        self._control_plane.require_alive()
        for proxy in self._proxies:
            proxy.require_alive()
        for pod in self._pods:
            pod.app.process.require_alive()

    def replicas(self) -> list[Replica]:
        """Return the pods of the mesh."""
        return [make_replica(pod.pod) for pod in self._pods]

    def diagnose(self, folder: Path) -> list[Clue]:
        """Save all logs and Envoy configs in `folder`; return what looks wrong."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in self._workspace.path.glob("*.log"):
            shutil.copy(log, folder / log.name)
        clues = []
        for proxy in self._proxies:
            try:
                dump = folder / f"{name_file(proxy.name)}.config_dump.json"
                dump.write_text(proxy.read_admin("/config_dump"), encoding="utf-8")
            except MeshproofError as error:
                clues.append(Clue("", str(error)))
        clues += [
            Clue(pod.pod.name, "its app has ended") for pod in self._pods if not pod.app.is_alive
        ]
        return clues
