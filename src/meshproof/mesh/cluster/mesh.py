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
from meshproof.mesh.cluster.api.objects import RUN_LABEL, Place, Placed
from meshproof.mesh.cluster.ingress import gateway_api, gateways
from meshproof.mesh.cluster.ingress.way_in import WayIn, way_in
from meshproof.mesh.cluster.istio import install, versions
from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.istio.kube_inject import injected
from meshproof.mesh.cluster.proxies import proxies, settling
from meshproof.mesh.cluster.proxies.mtls import MtlsExpectation
from meshproof.mesh.cluster.run import evidence, leftovers, namespaces, workloads
from meshproof.mesh.cluster.run.addons import ClusterAddons
from meshproof.mesh.cluster.run.probe import NO_PROBES, Probe
from meshproof.mesh.cluster.run.probing import Probes
from meshproof.mesh.cluster.run.provider import provided
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
        self._begun: Path | None = None
        self._workspace = workspace
        self._kube = kube
        self._place = Place(
            run,
            images.mapped(self._options.image_map, self._options.image_prefix),
            self._options.small,
        )
        self._istio = Istio.found(kube, self._options)
        versions.require_supported(kube, self._istio.version)
        self._istioctl = Istioctl(self._options, workspace.path)
        self._stack = contextlib.ExitStack()
        self._names: list[str] = []
        self._sandbox: Sandbox | None = None
        self._sandbox_error: MeshproofError | None = None
        self._noted: list[str] = []
        self._asking: dict[str, str] = {}
        self._stayed = -timeouts.RUN_LIFE
        self._probes = Probes(kube, self._place, self._istio.asking)
        self._stack.callback(self._probes.close)
        self._way_in: WayIn | None = None
        self.served: Served | None = None
        self.addons = ClusterAddons(
            kube, self._istio, self._place, options.addons, self, self._stack
        )

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options) -> Iterator[ClusterMesh]:
        """Reach the cluster, clear what killed runs left, and delete what this run has created."""
        with (
            processes.interruptible(),
            Workspace.create() as workspace,
            provided(options.cluster, workspace.path) as asked,
            Kube.connected(given := kubeconfig.chosen(asked), workspace.path) as kube,
        ):
            told = leftovers.clear(kube)
            run = secrets.token_hex(4)
            given = install.needed(kube, given)
            istioctl = Istioctl(given, workspace.path)
            todo = install.Installing(kube, istioctl, given, run, workspace.path)
            with install.installed(todo, options.mtls) as cluster:
                mesh = cls(replace(options, cluster=cluster), workspace, kube, run)
                mesh._noted = told
                try:
                    yield mesh
                except BaseException as error:
                    mesh._keep_evidence(error)
                    raise
                finally:
                    mesh._end()

    def _end(self) -> None:
        """Delete what the run has created and wait for it; a signal waits meanwhile."""
        with signals.uninterrupted():
            try:
                self._keep_evidence()
                self._stack.close()
            finally:
                leftovers.end(self._kube, self._place.run)

    @property
    def standins(self) -> list[str]:
        """What stands in for an official part: nothing, in a cluster."""
        return []

    @property
    def notes(self) -> list[str]:
        """What the report says of this cluster: its versions and the way in."""
        said = [*self._istio.notes, *self._noted, f"namespaces {', '.join(self._everywhere)}"]
        said += self._sandbox.notes if self._sandbox else []
        if made := self._options.provider:
            said.append(f"cluster: {made.name}, for this run alone")
        if wanted := self._options.install:
            said.append(f"Istio was installed for this run alone: profile {wanted.profile}")
        if self._options.injection == "istioctl":
            said.append("sidecars: by istioctl kube-inject, the namespaces ask for none")
        return [*said, f"way in: {self._way_in.words}"] if self._way_in else said

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that the run creates."""
        return self._place.labels

    @property
    def _labels(self) -> str:
        return f"{RUN_LABEL}={self._place.run}"

    @property
    def _app_labels(self) -> str:
        return f"{self._labels},{NO_PROBES}"

    def deploy(self, documents: Sequence[Document]) -> None:
        """Stand up the apps in namespaces of the run; return when each is available."""
        files = self._place.namespaces(documents)
        self._names = [self._place.namespace(name) for name in files]
        by_hand = self._options.injection == "istioctl"
        self._asking = {} if by_hand else self._istio.injection
        placed = self._placed(documents, files)
        self._require_own(placed)
        self._stay()
        gateway_api.require_known(self._kube, placed)
        if by_hand:
            istio = self._istio
            placed = injected(placed, self._istioctl, istio.namespace, istio.suffix)
        for one in sorted(placed, key=lambda one: one.kind == "Deployment"):
            self._kube.apply(one.body, one.at or "")
        if ingress := gateway_api.ingress(self._kube, placed):
            self._istio = replace(self._istio, ingress=ingress)
        self._meanwhile()
        workloads.wait_available(self._kube, self._names, self._labels)
        workloads.check_injected(self._kube, self._names, self._labels)
        self._found_way_in()
        routing = [one for one in placed if one.body["apiVersion"].startswith(_ROUTING)]
        self.served = self._settled(routing)
        self._noted += self._control_plane.notes()

    def _placed(self, documents: Sequence[Document], known: Sequence[str]) -> list[Placed]:
        """Return the objects of the documents, Gateways at the ingress that visits come in by."""
        found = [one for document in documents for one in self._place.place(document, known)]
        placed = gateways.at_ingress(self._kube, self._istio, found)
        said = f"Gateways with the usual selector are at the ingress {self._istio.ingress}"
        if placed != found and said not in self._noted:
            self._noted.append(said)
        return placed

    def _stay(self) -> None:
        """Make the run's namespaces, or say anew that it goes on, if the last time is long ago."""
        if time.monotonic() - self._stayed < timeouts.RUN_LIFE / 8:
            return
        namespaces.create(
            self._kube,
            self._everywhere,
            self._place.labels,
            self._workspace.path,
            **{**self._options.namespace_labels, **self._asking},
        )
        self._stayed = time.monotonic()

    def _require_own(self, placed: Sequence[Placed]) -> None:
        """Raise BadRules for an object of the whole cluster: it would be put beside others'."""
        for one in placed:
            if not self._kube.namespaced(*one.key[:2]):
                raise BadRules(
                    f"{one.at}: {one.kind} {one.name} is an object of the whole cluster; a run "
                    "makes only what lies in its own namespaces: leave it out"
                )

    @property
    def _control_plane(self) -> ControlPlane:
        return ControlPlane(self._kube, self._istio, self._istioctl, self._names, self._app_labels)

    def control_plane(self, aspect: Aspect) -> AspectReport:
        """Look at one aspect of the control plane."""
        found = self._control_plane.look(aspect)
        self._noted += [one for one in found.notes if one not in self._noted]
        return found

    def proxies(self) -> list[proxies.Proxy]:
        """Return the sidecars of the run and the gateway. Raises NotReady without the latter."""
        at_gate = self._istio.gateways(self._kube)
        if not at_gate:
            raise NotReady(self._istio.no_gateway(self._kube))
        pods = workloads.pods(self._kube, self._names, self._labels)
        return [*proxies.sidecars(pods), *at_gate]

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[Served]:
        """Apply the documents of `rules`; every proxy serves them while the context lasts."""
        known = self._known()
        placed = self._placed(rules.documents, known)
        if not placed:
            raise NotReady("rules without their documents cannot be applied to a cluster")
        self._require_own(placed)
        self._stay()
        modes = MtlsExpectation.before(self._kube, self.proxies, placed)
        try:
            for one in placed:
                self._kube.apply(one.body, one.at or "")
            self.served = self._settled(placed, modes=modes)
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
        labels, folder = self._place.labels, self._workspace.path
        more = {**self._options.namespace_labels, **self._istio.injection}
        try:
            begun = Sandbox(rules, cases, around, self._place, self._istio, self._beta)
            self._sandbox = begun
            namespaces.create(self._kube, begun.namespaces, labels, folder, **more)
            begun.begin(self._kube)
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
                ending.enter_context(begun.serving(self._kube, self._found_way_in))
            except BaseException as error:
                self._keep_evidence(error)
                raise
            yield begun

    @property
    def _everywhere(self) -> list[str]:
        """The namespaces of the run, those of its sandbox, too."""
        return [*self._names, *(self._sandbox.namespaces if self._sandbox else ())]

    def _found_way_in(self) -> Address:
        """Return the way in; it is looked for once."""
        if self._way_in is None:
            namespace, _, service = self._istio.ingress.partition("/")
            given, host = self._options.gateway_url, self._place.host
            found = way_in(self._kube, namespace, service, given, host)
            self._way_in = self._stack.enter_context(found)
        return self._way_in.address

    def _settled(
        self, placed: Sequence[Placed], there: bool = True, modes: MtlsExpectation | None = None
    ) -> Served:
        run = self._place.run
        strict = None if modes is None else modes.during if there else modes.after
        try:
            return settling.wait_served(self._kube, self.proxies, placed, there, strict, run)
        except NotReady as error:
            hints = evidence.hosts_without_service(self._kube, placed) if there else ()
            raise NotReady("\n".join([str(error), *hints])) from None

    def _known(self) -> list[str]:
        head = self._place.namespace("default")
        return [
            name.removeprefix(f"{head}-") if name != head else "default" for name in self._names
        ]

    def _withdraw(self, placed: Sequence[Placed], modes: MtlsExpectation | None) -> None:
        """Delete the rules; return when no proxy serves them any more."""
        if signals.ending():
            return  # the namespaces go
        for one in placed:
            api_version, kind, namespace, name = one.key
            self._kube.delete(api_version, kind, name, namespace)
        self.served = self._settled(placed, False, modes)

    def address(self, service: str) -> Address:
        """Return where a client outside the mesh reaches the way in, `ingress`."""
        if service != "ingress" or self._way_in is None:
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        return self._way_in.address

    def plaintext(self, replica: str) -> int | None:
        """Ask a pod in plaintext from a probe without sidecar; see `Mesh.plaintext`."""
        for pod in self._apps():
            if pod["metadata"]["name"] == replica:
                return self._probes.plaintext(pod)
        raise NotReady(f"there is no pod {replica} in the mesh")

    def inside(self, service: str) -> tuple[Address, Probe]:
        """Return where a probe with a sidecar reaches a service, and the probe."""
        return self._probes.inside(service, self._known())

    def counters(self, service: str) -> Counters:
        """Begin to count the requests to a service, at every sidecar of the run and the gateway."""
        return self._probes.counters(service, self._known(), self.proxies())

    def replicas(self) -> list[Replica]:
        """Return the pods of the run's apps."""
        return [workloads.replica(pod) for pod in self._apps()]

    def _apps(self) -> list[Object]:
        return workloads.pods(self._kube, self._names, self._app_labels)

    def diagnose(self, folder: Path) -> str:
        """Save logs, events and proxy configs in `folder`; name what looks wrong."""
        self._begun = folder
        run = evidence.Run(
            self._everywhere,
            self._labels,
            self._place.run,
            lambda: self._control_plane.proxy_status(),
            lambda: self._istio.gateways(self._kube),
        )
        said = evidence.save(self._kube, run, folder)
        self._begun = None
        return said

    def _keep_evidence(self, error: BaseException | None = None) -> None:
        """Save the evidence before all goes, of a run that ends by an error; signals wait.

        So is that which a signal has cut short. An error of ours knows then where it lies.
        """
        folder, self._begun = self._begun, None
        if error is not None and self._evidence is not None:
            folder = self._evidence / f"mesh-{self._place.run}"
        if folder is None or not self._everywhere:
            return
        with signals.uninterrupted(), contextlib.suppress(MeshproofError, OSError):
            said = self.diagnose(folder)
            if isinstance(error, MeshproofError):
                error.diagnosis, error.clues = str(folder), said
