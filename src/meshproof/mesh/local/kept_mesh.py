"""A local mesh that outlives the command that started it, for users to look at and try out."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from meshproof.base import signals, timeouts
from meshproof.base.errors import UsageError
from meshproof.base.files import name_file
from meshproof.mesh.local import renewal
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.process import logs, processes
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Options
from meshproof.rules.model import MtlsMode

_MAX_LOG_LINES = 4
#: The page that shows that a mesh answers: it needs every hop and its certificates.
_PATH = "/productpage"


@dataclass(frozen=True)
class KeptMesh:
    """A mesh that was left running: its URL and its processes (name -> process id).

    `ended` names the processes that have ended; `folder` has every log as NAME.log. `fault` says
    how a request through the mesh failed; empty where it was answered or where a process has ended.
    `certificates_until` is the day on which its certificates end.
    """

    url: str = ""
    pods: int = 0
    mtls: str = ""
    folder: str = ""
    processes: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    fault: str = ""
    certificates_until: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all its processes run and a request is answered."""
        return bool(self.processes) and not self.ended and not self.fault

    def __str__(self) -> str:
        """Describe the state of the mesh in a few lines."""
        if self.is_whole:
            count = len(self.processes)
            return (
                f"The local mesh at {self.url} is up: {self.pods} pods, {count} processes, "
                f"mTLS {self.mtls.lower()}.{self._describe_certificates()}"
            )
        if self.fault:
            return (
                f"The local mesh at {self.url} is broken: its processes run, but {_PATH} is not "
                f"answered: {self.fault}."
            )
        if len(self.ended) == len(self.processes):
            return f"The local mesh at {self.url} has ended: none of its processes runs."
        lines = [f"The local mesh at {self.url} is broken: {_join_names(self.ended)} ended."]
        for name in self.ended[:_MAX_LOG_LINES]:
            lines.append(f"  Last lines of {self.folder}/{name}.log:")
            lines.append(
                logs.format_tail(Path(self.folder) / f"{name_file(name)}.log", _MAX_LOG_LINES)
            )
        return "\n".join(lines)

    def _describe_certificates(self) -> str:
        """Describe in a further line until when the certificates hold, if that is known."""
        if not self.certificates_until:
            return ""
        return (
            f"\n  Its certificates hold until {self.certificates_until}; `meshproof mesh status` "
            "renews them in their last month."
        )


def _join_names(names: list[str]) -> str:
    """Return names with `has` or `have`."""
    return f"{', '.join(names)} {'has' if len(names) == 1 else 'have'}"


def start_kept_mesh(mtls: MtlsMode, port: int, envoy: str | None) -> tuple[KeptMesh, bool]:
    """Start a mesh with all demo apps and leave it running; return it and True.

    If one with the same options runs already, returns that one and False. Raises UsageError,
    NotReady or BadRules; then nothing is left. A signal does the same until the mesh is up; from
    then on signals are ignored.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: not a port (0 to 65535)")
    for mesh_state in list_kept_meshes():
        has_same_options = mesh_state.mtls == mtls and (
            not port or mesh_state.url.endswith(f":{port}")
        )
        if has_same_options and mesh_state.is_whole and envoy is None:
            return mesh_state, False
    # By name: the engine has no import statement for the data folders.
    manifests = importlib.import_module("meshproof.manifests")
    options = Options(mtls=mtls, ingress_port=port, envoy=envoy)
    with LocalMesh.opened(options) as mesh:
        mesh.deploy(manifests.apps())
        mesh_state = KeptMesh(
            url=mesh.address("ingress").url,
            pods=len(mesh.replicas()),
            mtls=mtls,
            folder=str(mesh.workspace.path),
            processes=mesh.workspace.processes,
        )
        mesh.keep_authority()
        with signals.uninterrupted():
            if signals.is_pending():
                raise KeyboardInterrupt
            mesh.workspace.leave_running(json.dumps(asdict(mesh_state)))
            signals.ignore_from_now()
    return mesh_state, True


def list_kept_meshes() -> list[KeptMesh]:
    """Return all meshes that were left running, each with its ended processes.

    Renews the certificates of those that run.
    """
    return [
        _read_kept_mesh(workspace)
        for workspace in processes.list_runs()
        if workspace.kept_state is not None
    ]


def _read_kept_mesh(workspace: Workspace) -> KeptMesh:
    """Return the mesh of a run; compare its processes with those that run now."""
    try:
        mesh_state = KeptMesh(**json.loads(workspace.kept_state or ""))
    except (TypeError, ValueError):  # another version of meshproof wrote it
        mesh_state = KeptMesh(folder=str(workspace.path))
    alive = {process.pid for process in processes.find_run_processes(workspace.path)}
    mesh_state.ended[:] = [name for name, pid in mesh_state.processes.items() if pid not in alive]
    if not mesh_state.is_whole:
        return mesh_state
    with signals.uninterrupted():
        end = renewal.renew_certificates(workspace.path, datetime.now(UTC))
    until = end.date().isoformat() if end else ""
    return replace(mesh_state, certificates_until=until, fault=_find_fault(mesh_state))


def _find_fault(mesh_state: KeptMesh) -> str:
    """Return how a request through the mesh fails; empty where it is answered with 200."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between us and this machine
            status = session.get(f"{mesh_state.url}{_PATH}", timeout=timeouts.REQUEST).status_code
    except requests.RequestException as error:
        return f"{type(error).__name__}"
    return "" if status == 200 else f"status {status}"


def end_kept_meshes() -> int:
    """End all meshes that were left running; return their number."""
    workspaces = [
        workspace for workspace in processes.list_runs() if workspace.kept_state is not None
    ]
    for workspace in workspaces:
        workspace.close()
    return len(workspaces)
