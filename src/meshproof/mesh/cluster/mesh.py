"""The cluster mesh: real Istio in a Kubernetes cluster, in namespaces of this run only."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from meshproof.base import signals, timeouts
from meshproof.base.clues import Clue
from meshproof.base.errors import BadRules, MeshproofError, NotReady
from meshproof.documents.manifest import Document
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
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import (
    Address,
    Aspect,
    AspectReport,
    Feature,
    Options,
    Replica,
    SandboxRules,
    Served,
)
from meshproof.rules.model import RuleSet

_ROUTING = ("networking.istio.io", "security.istio.io", gateway_api.GROUP)


class ClusterMesh:
    """The Istio of a cluster, with the run's apps in the run's namespaces."""

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
            Feature.SANDBOX,
        }
    )

    def __init__(self, options: Options, workspace: Workspace, kube: Kube, run: str) -> None:
        self._options, self._beta = options.cluster, options.beta
        self._checked_addons = options.checked_addons
        self._evidence = options.evidence
        #: The folder of evidence that is not complete yet.
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
        """Connect to the cluster, clear what killed runs left; at the end delete this run."""
        with (
            signals.interruptible(),
            Workspace.create() as workspace,
            provide_cluster(options.cluster, workspace.path) as provided_options,
            Kube.connected(
                options_with_context := kubeconfig.choose_context(provided_options), workspace.path
            ) as kube,
        ):
            leftover_notes = leftovers.clear_dead_runs(kube)
            run = secrets.token_hex(4)
            options_with_context = install.add_missing_install(kube, options_with_context)
            istioctl = Istioctl(options_with_context, workspace.path)
            task = install.InstallTask(kube, istioctl, options_with_context, run, workspace.path)
            with install.install_istio(task, options.mtls) as cluster:
                mesh = cls(replace(options, cluster=cluster), workspace, kube, run)
                mesh._notes = leftover_notes
                try:
                    if options.sandbox is not None:
                        mesh._start_sandbox(options.sandbox)
                    yield mesh
                except BaseException as error:
                    mesh._save_evidence(error)
                    raise
                finally:
                    mesh._delete_run()

    def _delete_run(self) -> None:
        """Delete what the run has created and wait for it; a signal waits until then."""
        with signals.uninterrupted():
            try:
                self._save_evidence()
                self._stack.close()
            finally:
                leftovers.end_run(self._kube, self._scope.run)

    @property
    def standins(self) -> list[str]:
        """Stand-ins for official parts: none in a cluster."""
        return []

    @property
    def notes(self) -> list[str]:
        """What the report says of this cluster: versions, namespaces, the ingress address."""
        notes = [*self._istio.notes, *self._notes, f"namespaces {', '.join(self._all_namespaces)}"]
        notes += self._sandbox.notes if self._sandbox else []
        if provider := self._options.provider:
            notes.append(f"cluster: {provider.name}, for this run alone")
        if install_options := self._options.install:
            notes.append(
                f"Istio was installed for this run alone: profile {install_options.profile}"
            )
        if self._options.injection == "istioctl":
            notes.append("sidecars: by istioctl kube-inject, the namespaces ask for none")
        return [*notes, f"way in: {self._ingress.description}"] if self._ingress else notes

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that the run creates."""
        return self._scope.labels

    @property
    def _run_selector(self) -> str:
        """The label selector of the run's objects."""
        return f"{RUN_LABEL}={self._scope.run}"

    @property
    def _app_selector(self) -> str:
        """The label selector of the run's apps, without its probes."""
        return f"{self._run_selector},{NO_PROBES}"

    def deploy(self, documents: Sequence[Document]) -> None:
        """Start the apps in the run's namespaces; return when each is available."""
        file_namespaces = self._scope.file_namespaces(documents)
        self._app_namespaces = [self._scope.namespace_for(name) for name in file_namespaces]
        uses_kube_inject = self._options.injection == "istioctl"
        self._injection_labels = {} if uses_kube_inject else self._istio.injection_labels
        run_objects = self._make_objects(documents, file_namespaces)
        self._require_namespaced(run_objects)
        self._renew_namespaces()
        gateway_api.require_supported(self._kube, run_objects)
        if uses_kube_inject:
            istio = self._istio
            run_objects = inject_sidecars(
                run_objects, self._istioctl, istio.namespace, istio.revision_suffix
            )
        self.addons.apply_telemetry(self._checked_addons)
        for run_object in sorted(
            run_objects, key=lambda run_object: run_object.kind == "Deployment"
        ):
            self._kube.apply(run_object.body, run_object.at or "")
        if ingress := gateway_api.wait_for_ingress(self._kube, run_objects):
            self._istio = replace(self._istio, ingress=ingress)
        workloads.wait_available(self._kube, self._app_namespaces, self._run_selector)
        workloads.check_injected(self._kube, self._app_namespaces, self._run_selector)
        self._find_ingress_address()
        routing_objects = [
            run_object
            for run_object in run_objects
            if run_object.body["apiVersion"].startswith(_ROUTING)
        ]
        self.served = self._wait_settled(routing_objects)
        self._notes += self._control_plane.notes()

    def _make_objects(
        self, documents: Sequence[Document], file_namespaces: Sequence[str]
    ) -> list[RunObject]:
        """Return the run's objects for the documents; Gateways select the ingress gateway."""
        scoped_objects = [
            run_object
            for document in documents
            for run_object in self._scope.make_objects(document, file_namespaces)
        ]
        run_objects = gateway_selectors.select_ingress(self._kube, self._istio, scoped_objects)
        note = f"Gateways with the usual selector are at the ingress {self._istio.ingress}"
        if run_objects != scoped_objects and note not in self._notes:
            self._notes.append(note)
        return run_objects

    def _renew_namespaces(self) -> None:
        """Create the run's namespaces, or extend their announced end from time to time."""
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

    def _require_namespaced(self, run_objects: Sequence[RunObject]) -> None:
        """Raise BadRules for a cluster-wide object, which would land next to other people's."""
        for run_object in run_objects:
            if not self._kube.is_namespaced(*run_object.key[:2]):
                raise BadRules(
                    f"{run_object.at}: {run_object.kind} {run_object.name} is an object of the "
                    "whole cluster; a run makes only what lies in its own namespaces: leave it out"
                )

    @property
    def _control_plane(self) -> ControlPlane:
        """The control plane as this run needs it."""
        return ControlPlane(
            self._kube, self._istio, self._istioctl, self._app_namespaces, self._app_selector
        )

    def inspect_control_plane(self, aspect: Aspect) -> AspectReport:
        """Check one aspect of the control plane."""
        report = self._control_plane.inspect(aspect)
        self._notes += [note for note in report.notes if note not in self._notes]
        return report

    def proxies(self) -> list[proxies.Proxy]:
        """Return the sidecars of the run and the gateway. Raises NotReady without a gateway."""
        gateways = self._istio.list_gateways(self._kube)
        if not gateways:
            raise NotReady(self._istio.explain_missing_gateway(self._kube))
        pods = workloads.list_pods(self._kube, self._app_namespaces, self._run_selector)
        return [*proxies.sidecar_proxies(pods), *gateways]

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[Served]:
        """Apply the documents of `rules`; every proxy serves them until the context ends."""
        file_namespaces = self._file_namespaces()
        run_objects = self._make_objects(rules.documents, file_namespaces)
        if not run_objects:
            raise NotReady("rules without their documents cannot be applied to a cluster")
        self._require_namespaced(run_objects)
        self._renew_namespaces()
        mtls = MtlsExpectation.observe(self._kube, self.proxies, run_objects)
        try:
            for run_object in run_objects:
                self._kube.apply(run_object.body, run_object.at or "")
            self.served = self._wait_settled(run_objects, mtls=mtls)
            yield self.served
        except BaseException:
            with contextlib.suppress(MeshproofError):  # report the first error
                self._withdraw(run_objects, mtls)
            raise
        else:
            self._withdraw(run_objects, mtls)

    def _start_sandbox(self, user_rules: SandboxRules) -> None:
        """Start the pods of a sandbox for a user's rules, in further namespaces of the run.

        They start while the apps do. `sandbox` raises the error if that fails.
        """
        labels, folder = self._scope.labels, self._workspace.path
        extra_labels = {**self._options.namespace_labels, **self._istio.injection_labels}
        try:
            sandbox = Sandbox(
                user_rules.rules,
                user_rules.cases,
                user_rules.known_hosts,
                self._scope,
                self._istio,
                self._beta,
            )
            self._sandbox = sandbox
            namespaces.create(self._kube, sandbox.namespaces, labels, folder, **extra_labels)
            sandbox.create_workloads(self._kube)
        except MeshproofError as error:
            self._sandbox_error = error

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """Serve a user's rules to echo workloads in the started sandbox.

        Raises NotReady for a pod that does not start, BadRules for a rule that the cluster refuses.
        """
        sandbox = self._sandbox
        if sandbox is None:
            raise self._sandbox_error or NotReady("no sandbox was begun")
        with contextlib.ExitStack() as stack:
            try:
                if self._sandbox_error is not None:
                    raise self._sandbox_error
                stack.enter_context(sandbox.serve(self._kube, self._find_ingress_address))
            except BaseException as error:
                self._save_evidence(error)
                raise
            yield sandbox

    @property
    def _all_namespaces(self) -> list[str]:
        """The namespaces of the run, including those of its sandbox."""
        return [*self._app_namespaces, *(self._sandbox.namespaces if self._sandbox else ())]

    def _find_ingress_address(self) -> Address:
        """Return the ingress address, which is determined once."""
        if self._ingress is None:
            namespace, _, service = self._istio.ingress.partition("/")
            gateway_url, host = self._options.gateway_url, self._scope.host
            opened_ingress = open_ingress(self._kube, namespace, service, gateway_url, host)
            self._ingress = self._stack.enter_context(opened_ingress)
        return self._ingress.address

    def _wait_settled(
        self,
        run_objects: Sequence[RunObject],
        present: bool = True,
        mtls: MtlsExpectation | None = None,
    ) -> Served:
        """Wait until every proxy serves the objects, or none of them (`present` False)."""
        run = self._scope.run
        strict = (
            None if mtls is None else mtls.is_strict_during if present else mtls.is_strict_after
        )
        try:
            return settling.wait_served(self._kube, self.proxies, run_objects, present, strict, run)
        except NotReady as error:
            if present:
                clues = evidence.find_hosts_without_service(self._kube, run_objects)
                error.clues = (*error.clues, *clues)
            raise

    def _file_namespaces(self) -> list[str]:
        """Return the files' names of the run's namespaces."""
        prefix = self._scope.namespace_for("default")
        return [
            name.removeprefix(f"{prefix}-") if name != prefix else "default"
            for name in self._app_namespaces
        ]

    def _withdraw(self, run_objects: Sequence[RunObject], mtls: MtlsExpectation | None) -> None:
        """Delete the rules; return when no proxy serves them any more."""
        if signals.is_ending():
            return  # the namespaces are deleted anyway
        for run_object in run_objects:
            api_version, kind, namespace, name = run_object.key
            self._kube.delete(api_version, kind, name, namespace)
        self.served = self._wait_settled(run_objects, False, mtls)

    def address(self, service: str) -> Address:
        """Return the address of `ingress` for a client outside the mesh."""
        if service != "ingress" or self._ingress is None:
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        return self._ingress.address

    def probe_plaintext(self, replica: str) -> int | None:
        """Send plaintext to a pod from a probe without a sidecar; see `Mesh.probe_plaintext`."""
        return self._probes.probe_plaintext(self._find_app_pod(replica))

    def probe_tls(self, replica: str) -> int | None:
        """Do as `probe_plaintext`, by TLS without a client certificate."""
        return self._probes.probe_tls(self._find_app_pod(replica))

    def _find_app_pod(self, replica: str) -> Object:
        """Return the object of a pod by its name. Raises NotReady if there is none."""
        for pod in self._app_pods():
            if pod["metadata"]["name"] == replica:
                return pod
        raise NotReady(f"there is no pod {replica} in the mesh")

    def find_inside_client(self, service: str) -> tuple[Address, Probe]:
        """Return a service's address inside the mesh, and a probe with a sidecar as sender."""
        return self._probes.find_inside_client(service, self._file_namespaces())

    def start_counters(self, service: str) -> Counters:
        """Begin to count the requests to a service at every sidecar of the run and the gateway."""
        return self._probes.start_counters(service, self._file_namespaces(), self.proxies())

    def replicas(self) -> list[Replica]:
        """Return the pods of the run's apps."""
        return [workloads.make_replica(pod) for pod in self._app_pods()]

    def _app_pods(self) -> list[Object]:
        """Return the pods of the run's apps."""
        return workloads.list_pods(self._kube, self._app_namespaces, self._app_selector)

    def diagnose(self, folder: Path) -> list[Clue]:
        """Save logs, events and proxy configs in `folder`; return what looks wrong."""
        self._unfinished_evidence = folder
        sources = evidence.EvidenceSources(
            self._all_namespaces,
            self._run_selector,
            self._scope.run,
            lambda: self._control_plane.proxy_status(),
            lambda: self._istio.list_gateways(self._kube),
        )
        clues = evidence.save(self._kube, sources, folder)
        self._unfinished_evidence = None
        return clues

    def _save_evidence(self, error: BaseException | None = None) -> None:
        """Save the evidence of a failed run before its namespaces go; a signal waits until then.

        Also finishes what a signal has interrupted. An error of ours gets the folder and the
        clues.
        """
        folder, self._unfinished_evidence = self._unfinished_evidence, None
        if error is not None and self._evidence is not None:
            folder = self._evidence / f"mesh-{self._scope.run}"
        if folder is None or not self._all_namespaces:
            return
        with signals.uninterrupted(), contextlib.suppress(MeshproofError, OSError):
            clues = self.diagnose(folder)
            if isinstance(error, MeshproofError):
                error.diagnosis, error.clues = str(folder), (*error.clues, *clues)
