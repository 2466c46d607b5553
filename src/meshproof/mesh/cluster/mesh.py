"""The cluster mesh: real Istio in a Kubernetes cluster, in namespaces of this run alone."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from meshproof.base import signals, timeouts
from meshproof.base.errors import BadRules, MeshproofError, NotReady
from meshproof.documents.manifest import Document
from meshproof.inventory import Inventory
from meshproof.mesh.cluster.api import images, kubeconfig
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.objects import RUN_LABEL, RunObject, RunScope
from meshproof.mesh.cluster.ingress import gateway_api, gateway_selectors
from meshproof.mesh.cluster.ingress.address import IngressAddress, open_ingress
from meshproof.mesh.cluster.istio import install, versions
from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.istio.kube_inject import inject_sidecars
from meshproof.mesh.cluster.proxies import proxies, settling
from meshproof.mesh.cluster.proxies.mtls import MtlsExpectation
from meshproof.mesh.cluster.run import evidence, leftovers, namespaces, workloads
from meshproof.mesh.cluster.run.addons import ClusterAddons
from meshproof.mesh.cluster.run.probe import NO_PROBES, Probe
from meshproof.mesh.cluster.run.probes import Probes
from meshproof.mesh.cluster.run.provider import provide_cluster
from meshproof.mesh.cluster.sandbox.sandbox import Sandbox
from meshproof.mesh.counters import Counters
from meshproof.mesh.process import processes
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Aspect, AspectReport, Feature, Options, Replica, Served
from meshproof.oracle.derive import Case
from meshproof.rules.model import RuleSet

_ROUTING = ("networking.istio.io", "security.istio.io", gateway_api.GROUP)


class ClusterMesh:
    """The Istio of a cluster, with the run's apps in namespaces of the run."""

    name = "cluster"
    proven = "this cluster, its Istio and its sidecars do what the rules say"
    supports = frozenset(
        {
            Feature.CONTROL_PLANE,
            Feature.HTTP_WEIGHTS,
            Feature.HEADER_MATCH,
            Feature.INGRESS,
            Feature.MTLS,
            Feature.PLAINTEXT_PROBE,
            Feature.INSIDE,
            Feature.COUNTERS,
        }
    )

    def __init__(self, options: Options, workspace: Workspace, kube: Kube, run: str) -> None:
        self._options, self._beta = options.cluster, options.beta
        self._evidence = options.evidence
        self._meanwhile = options.meanwhile
        #: Where evidence is being saved, until it is complete.
        self._unfinished_evidence: Path | None = None
        self._workspace = workspace
        self._kube = kube
        self._scope = RunScope(
            run,
            images.make_image_mapper(self._options.image_map, self._options.image_prefix),
            self._options.small,
        )
        self._istio = Istio.find(kube, self._options)
        versions.require_supported(kube, self._istio.version)
        self._istioctl = Istioctl(self._options, workspace.path)
        self._stack = contextlib.ExitStack()
        self._app_namespaces: list[str] = []
        self._sandbox: Sandbox | None = None
        self._sandbox_error: MeshproofError | None = None
        self._notes: list[str] = []
        self._injection_labels: dict[str, str] = {}
        self._renewed_at = -timeouts.RUN_LIFE
        self._probes = Probes(kube, self._scope, self._istio.revision_labels)
        self._stack.callback(self._probes.close)
        self._ingress: IngressAddress | None = None
        self.served: Served | None = None
        self.addons = ClusterAddons(
            kube, self._istio, self._scope, options.addons, self, self._stack
        )

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options) -> Iterator[ClusterMesh]:
        """Reach the cluster, clear what killed runs left, and delete what this run has created."""
        with (
            processes.interruptible(),
            Workspace.create() as workspace,
            provide_cluster(options.cluster, workspace.path) as asked,
            Kube.connected(given := kubeconfig.choose_context(asked), workspace.path) as kube,
        ):
            told = leftovers.clear_dead_runs(kube)
            run = secrets.token_hex(4)
            given = install.add_missing_install(kube, given)
            istioctl = Istioctl(given, workspace.path)
            todo = install.InstallTask(kube, istioctl, given, run, workspace.path)
            with install.install_istio(todo, options.mtls) as cluster:
                mesh = cls(replace(options, cluster=cluster), workspace, kube, run)
                mesh._notes = told
                try:
                    yield mesh
                except BaseException as error:
                    mesh._save_evidence(error)
                    raise
                finally:
                    mesh._delete_run()

    def _delete_run(self) -> None:
        """Delete what the run has created and wait for it; a signal waits meanwhile."""
        with signals.uninterrupted():
            try:
                self._save_evidence()
                self._stack.close()
            finally:
                leftovers.end_run(self._kube, self._scope.run)

    @property
    def standins(self) -> list[str]:
        """What stands in for an official part: nothing, in a cluster."""
        return []

    @property
    def notes(self) -> list[str]:
        """What the report says of this cluster: its versions and the way in."""
        said = [*self._istio.notes, *self._notes, f"namespaces {', '.join(self._all_namespaces)}"]
        said += self._sandbox.notes if self._sandbox else []
        if made := self._options.provider:
            said.append(f"cluster: {made.name}, for this run alone")
        if wanted := self._options.install:
            said.append(f"Istio was installed for this run alone: profile {wanted.profile}")
        if self._options.injection == "istioctl":
            said.append("sidecars: by istioctl kube-inject, the namespaces ask for none")
        return [*said, f"way in: {self._ingress.description}"] if self._ingress else said

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that the run creates."""
        return self._scope.labels

    @property
    def _run_selector(self) -> str:
        return f"{RUN_LABEL}={self._scope.run}"

    @property
    def _app_selector(self) -> str:
        return f"{self._run_selector},{NO_PROBES}"

    def deploy(self, documents: Sequence[Document]) -> None:
        """Stand up the apps in namespaces of the run; return when each is available."""
        files = self._scope.file_namespaces(documents)
        self._app_namespaces = [self._scope.namespace_for(name) for name in files]
        by_hand = self._options.injection == "istioctl"
        self._injection_labels = {} if by_hand else self._istio.injection_labels
        placed = self._make_objects(documents, files)
        self._require_namespaced(placed)
        self._renew_namespaces()
        gateway_api.require_supported(self._kube, placed)
        if by_hand:
            istio = self._istio
            placed = inject_sidecars(placed, self._istioctl, istio.namespace, istio.revision_suffix)
        for one in sorted(placed, key=lambda one: one.kind == "Deployment"):
            self._kube.apply(one.body, one.at or "")
        if ingress := gateway_api.wait_for_ingress(self._kube, placed):
            self._istio = replace(self._istio, ingress=ingress)
        self._meanwhile()
        workloads.wait_available(self._kube, self._app_namespaces, self._run_selector)
        workloads.check_injected(self._kube, self._app_namespaces, self._run_selector)
        self._find_ingress_address()
        routing = [one for one in placed if one.body["apiVersion"].startswith(_ROUTING)]
        self.served = self._wait_settled(routing)
        self._notes += self._control_plane.notes()

    def _make_objects(self, documents: Sequence[Document], known: Sequence[str]) -> list[RunObject]:
        """Return the objects of the documents, Gateways at the ingress that visits come in by."""
        found = [one for document in documents for one in self._scope.make_objects(document, known)]
        placed = gateway_selectors.select_ingress(self._kube, self._istio, found)
        said = f"Gateways with the usual selector are at the ingress {self._istio.ingress}"
        if placed != found and said not in self._notes:
            self._notes.append(said)
        return placed

    def _renew_namespaces(self) -> None:
        """Make the run's namespaces, or say anew that it goes on, if the last time is long ago."""
        if time.monotonic() - self._renewed_at < timeouts.RUN_LIFE / 8:
            return
        namespaces.create(
            self._kube,
            self._all_namespaces,
            self._scope.labels,
            self._workspace.path,
            **{**self._options.namespace_labels, **self._injection_labels},
        )
        self._renewed_at = time.monotonic()

    def _require_namespaced(self, placed: Sequence[RunObject]) -> None:
        """Raise BadRules for an object of the whole cluster: it would be put beside others'."""
        for one in placed:
            if not self._kube.is_namespaced(*one.key[:2]):
                raise BadRules(
                    f"{one.at}: {one.kind} {one.name} is an object of the whole cluster; a run "
                    "makes only what lies in its own namespaces: leave it out"
                )

    @property
    def _control_plane(self) -> ControlPlane:
        return ControlPlane(
            self._kube, self._istio, self._istioctl, self._app_namespaces, self._app_selector
        )

    def control_plane(self, aspect: Aspect) -> AspectReport:
        """Look at one aspect of the control plane."""
        found = self._control_plane.inspect(aspect)
        self._notes += [one for one in found.notes if one not in self._notes]
        return found

    def proxies(self) -> list[proxies.Proxy]:
        """Return the sidecars of the run and the gateway. Raises NotReady without the latter."""
        at_gate = self._istio.list_gateways(self._kube)
        if not at_gate:
            raise NotReady(self._istio.explain_missing_gateway(self._kube))
        pods = workloads.list_pods(self._kube, self._app_namespaces, self._run_selector)
        return [*proxies.sidecar_proxies(pods), *at_gate]

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[Served]:
        """Apply the documents of `rules`; every proxy serves them while the context lasts."""
        known = self._file_namespaces()
        placed = self._make_objects(rules.documents, known)
        if not placed:
            raise NotReady("rules without their documents cannot be applied to a cluster")
        self._require_namespaced(placed)
        self._renew_namespaces()
        modes = MtlsExpectation.observe(self._kube, self.proxies, placed)
        try:
            for one in placed:
                self._kube.apply(one.body, one.at or "")
            self.served = self._wait_settled(placed, modes=modes)
            yield self.served
        except BaseException:
            with contextlib.suppress(MeshproofError):  # the first error is the one to be told
                self._withdraw(placed, modes)
            raise
        else:
            self._withdraw(placed, modes)

    def begin_sandbox(self, rules: RuleSet, cases: Sequence[Case], around: Inventory) -> None:
        """Have the pods of a sandbox for a user's rules come up, in further namespaces of the run.

        What keeps them from that is told by `sandbox`.
        """
        labels, folder = self._scope.labels, self._workspace.path
        more = {**self._options.namespace_labels, **self._istio.injection_labels}
        try:
            begun = Sandbox(rules, cases, around, self._scope, self._istio, self._beta)
            self._sandbox = begun
            namespaces.create(self._kube, begun.namespaces, labels, folder, **more)
            begun.create_workloads(self._kube)
        except MeshproofError as error:
            self._sandbox_error = error

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """Serve a user's rules to echo workloads, in the sandbox that was begun.

        Raises NotReady for what does not come up, BadRules for a rule that the cluster refuses.
        """
        begun = self._sandbox
        if begun is None:
            raise self._sandbox_error or NotReady("no sandbox was begun")
        with contextlib.ExitStack() as ending:
            try:
                if self._sandbox_error is not None:
                    raise self._sandbox_error
                ending.enter_context(begun.serve(self._kube, self._find_ingress_address))
            except BaseException as error:
                self._save_evidence(error)
                raise
            yield begun

    @property
    def _all_namespaces(self) -> list[str]:
        """The namespaces of the run, those of its sandbox, too."""
        return [*self._app_namespaces, *(self._sandbox.namespaces if self._sandbox else ())]

    def _find_ingress_address(self) -> Address:
        """Return the way in; it is looked for once."""
        if self._ingress is None:
            namespace, _, service = self._istio.ingress.partition("/")
            given, host = self._options.gateway_url, self._scope.host
            found = open_ingress(self._kube, namespace, service, given, host)
            self._ingress = self._stack.enter_context(found)
        return self._ingress.address

    def _wait_settled(
        self, placed: Sequence[RunObject], there: bool = True, modes: MtlsExpectation | None = None
    ) -> Served:
        run = self._scope.run
        strict = (
            None if modes is None else modes.is_strict_during if there else modes.is_strict_after
        )
        try:
            return settling.wait_served(self._kube, self.proxies, placed, there, strict, run)
        except NotReady as error:
            hints = evidence.find_hosts_without_service(self._kube, placed) if there else ()
            raise NotReady("\n".join([str(error), *hints])) from None

    def _file_namespaces(self) -> list[str]:
        head = self._scope.namespace_for("default")
        return [
            name.removeprefix(f"{head}-") if name != head else "default"
            for name in self._app_namespaces
        ]

    def _withdraw(self, placed: Sequence[RunObject], modes: MtlsExpectation | None) -> None:
        """Delete the rules; return when no proxy serves them any more."""
        if signals.ending():
            return  # the namespaces go
        for one in placed:
            api_version, kind, namespace, name = one.key
            self._kube.delete(api_version, kind, name, namespace)
        self.served = self._wait_settled(placed, False, modes)

    def address(self, service: str) -> Address:
        """Return where a client outside the mesh reaches the way in, `ingress`."""
        if service != "ingress" or self._ingress is None:
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        return self._ingress.address

    def plaintext(self, replica: str) -> int | None:
        """Ask a pod in plaintext from a probe without sidecar; see `Mesh.plaintext`."""
        for pod in self._app_pods():
            if pod["metadata"]["name"] == replica:
                return self._probes.plaintext(pod)
        raise NotReady(f"there is no pod {replica} in the mesh")

    def inside(self, service: str) -> tuple[Address, Probe]:
        """Return where a probe with a sidecar reaches a service, and the probe."""
        return self._probes.inside(service, self._file_namespaces())

    def counters(self, service: str) -> Counters:
        """Begin to count the requests to a service, at every sidecar of the run and the gateway."""
        return self._probes.counters(service, self._file_namespaces(), self.proxies())

    def replicas(self) -> list[Replica]:
        """Return the pods of the run's apps."""
        return [workloads.make_replica(pod) for pod in self._app_pods()]

    def _app_pods(self) -> list[Object]:
        return workloads.list_pods(self._kube, self._app_namespaces, self._app_selector)

    def diagnose(self, folder: Path) -> str:
        """Save logs, events and proxy configs in `folder`; name what looks wrong."""
        self._unfinished_evidence = folder
        run = evidence.EvidenceSources(
            self._all_namespaces,
            self._run_selector,
            self._scope.run,
            lambda: self._control_plane.proxy_status(),
            lambda: self._istio.list_gateways(self._kube),
        )
        said = evidence.save(self._kube, run, folder)
        self._unfinished_evidence = None
        return said

    def _save_evidence(self, error: BaseException | None = None) -> None:
        """Save the evidence before all goes, of a run that ends by an error; signals wait.

        So is that which a signal has cut short. An error of ours knows then where it lies.
        """
        folder, self._unfinished_evidence = self._unfinished_evidence, None
        if error is not None and self._evidence is not None:
            folder = self._evidence / f"mesh-{self._scope.run}"
        if folder is None or not self._all_namespaces:
            return
        with signals.uninterrupted(), contextlib.suppress(MeshproofError, OSError):
            said = self.diagnose(folder)
            if isinstance(error, MeshproofError):
                error.diagnosis, error.clues = str(folder), said
