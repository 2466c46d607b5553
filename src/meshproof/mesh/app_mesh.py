"""What meshes of apps on this machine share: the local mesh and the one of a real istiod."""

from __future__ import annotations

import contextlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from meshproof import rules
from meshproof.base import signals
from meshproof.base.clues import Clue
from meshproof.base.errors import MeshproofError, NotReady
from meshproof.base.files import name_file
from meshproof.base.signals import interruptible
from meshproof.documents.manifest import Document
from meshproof.mesh.counters import Counters
from meshproof.mesh.envoy import topology
from meshproof.mesh.envoy.app import App, describe_standins, make_replica, require_standin
from meshproof.mesh.envoy.envoy import Envoy
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Options, Replica, Served
from meshproof.rules.model import RuleSet


class Ingress(Protocol):
    """The way into a mesh."""

    def address(self, gateway_port: int | None = None) -> Address:
        """Return the address of a Gateway port (None: the lowest one)."""


class AppMesh(ABC):
    """An ingress and, for each pod of the manifests, an app process with its sidecar Envoy."""

    #: What stands in for istiod or its objects, in a sentence.
    _istiod_standin: str
    _ingress: Ingress

    def __init__(self, options: Options, workspace: Workspace) -> None:
        self._options = options
        self._workspace = workspace
        self._topology = topology.Topology()
        self._ingress_rules = RuleSet()
        self._current_rules = RuleSet()
        self.served: Served | None = None

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options) -> Iterator[Self]:
        """Start an empty mesh; end it with everything in it when the context ends."""
        with interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace)
            mesh._start()
            yield mesh

    @abstractmethod
    def _start(self) -> None:
        """Start what the mesh needs before the first app."""

    @abstractmethod
    def _list_apps(self) -> Sequence[App]:
        """Return the apps of all pods."""

    @abstractmethod
    def _list_proxies(self) -> Sequence[Envoy]:
        """Return all Envoys, the ingress's first."""

    @abstractmethod
    def _serve(self, rules: RuleSet) -> Served:
        """Serve `rules` everywhere; return when every Envoy has acknowledged them."""

    @property
    def workspace(self) -> Workspace:
        """Folder and processes of this mesh."""
        return self._workspace

    @property
    def standins(self) -> list[str]:
        """The stand-ins for official parts, one sentence each."""
        pods = [app.pod for app in self._list_apps()]
        return [
            self._istiod_standin,
            "upstream Envoy for istio-proxy",
            *describe_standins(pods),
        ]

    @property
    def notes(self) -> list[str]:
        """The facts about this mesh for reports."""
        return []

    def _add_manifests(self, documents: Sequence[Document]) -> Sequence[topology.Pod]:
        """Take in manifests and the ingress rules among them; return the pods to start."""
        routing = [document for document in documents if document.group in topology.RULE_GROUPS]
        workloads = topology.read_topology(
            document for document in documents if document.group not in topology.RULE_GROUPS
        )
        for pod in workloads.pods:
            require_standin(pod)
        if routing:
            self._ingress_rules += rules.read_rules(routing)
        self._topology += workloads
        return workloads.pods

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[Served]:
        """Serve `rules` beside the ingress rules while the context lasts."""
        former_rules = self._current_rules
        try:
            served = self._serve(self._ingress_rules + rules)
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
            self._serve(self._ingress_rules + former_rules)

    def address(self, service: str) -> Address:
        """Return the address of the ingress; `service` must be `ingress`."""
        if service != "ingress":
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        return self._ingress.address()

    def find_inside_client(self, service: str) -> tuple[Address, LocalSender]:
        """Return the listener by which a pod in the service's namespace calls that service.

        This process may use it as a client: only the name tells the two apart.
        """
        callee = self._topology.find_service(service)
        for app in self._list_apps():
            if app.pod.namespace == callee.namespace:
                authority = f"{callee.host}:{min(callee.ports)}"
                return replace(app.proxy, authority=authority), LocalSender()
        raise NotReady(f"there is no pod in namespace {callee.namespace} that could call {service}")

    def start_counters(self, service: str) -> Counters:
        """Start to count the requests to a service, at every Envoy."""
        host = self._topology.find_service(service).host
        return Counters({proxy.name: proxy.read_admin for proxy in self._list_proxies()}, host)

    def require_processes(self) -> None:
        """Raise an error if an Envoy or an app has ended; see `Mesh.require_processes`."""
        for proxy in self._list_proxies():
            proxy.require_alive()
        for app in self._list_apps():
            app.process.require_alive()

    def replicas(self) -> list[Replica]:
        """Return the pods of the mesh."""
        return [make_replica(app.pod) for app in self._list_apps()]

    def diagnose(self, folder: Path) -> list[Clue]:
        """Save all logs and Envoy configs in `folder`; return what looks wrong."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in self._workspace.path.glob("*.log"):
            shutil.copy(log, folder / log.name)
        clues = []
        for proxy in self._list_proxies():
            try:
                dump = folder / f"{name_file(proxy.name)}.config_dump.json"
                dump.write_text(proxy.read_admin("/config_dump"), encoding="utf-8")
            except MeshproofError as error:
                clues.append(Clue("", str(error)))
        clues += [
            Clue(app.pod.name, "its app has ended") for app in self._list_apps() if not app.is_alive
        ]
        return clues
