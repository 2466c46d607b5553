"""Addons of a mesh, one module for each. A check asks for our own traffic, not for an open port.

A module has `HOW_TO_GET` (a sentence), `find_command(path)` (the command that starts the addon,
None if the machine lacks it) and a class `Addon` (see `Addon` here). `wait_ready(seconds)` of it
raises NotReady if the addon does not answer in that time; `span_port` is where it takes spans. For
an addon that runs in a cluster the module has `CLUSTER_LOOKUP` (see `ClusterLookup`) and a class
`ClusterAddon`: an `Addon` made of a URL and a `ClusterView`. Its `require_answer` raises NotReady
while the addon does not answer.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError
from meshproof.base.waiting import wait_answered, wait_for
from meshproof.mesh.process.processes import Process, Workspace
from meshproof.mesh.protocol import Lack

#: Value of an option that switches an addon off.
OFF = "off"
#: Count of an addon that shows rates instead of counts, and shows every edge of a visit.
UNCOUNTED = sys.maxsize


class MeshView(Protocol):
    """The part of a local mesh that its addons need."""

    def list_stats_ports(self) -> dict[str, int]:
        """Return pod name -> port on loopback of the statistics of every proxy."""

    def count_ingress_requests(self) -> int:
        """Return how many requests the ingress has sent to the productpage so far."""

    def addon_url(self, name: str, seconds: float) -> str:
        """Return the URL of another running addon, or an empty string.

        Raises NotReady if it does not answer within `seconds`.
        """


class ClusterView(Protocol):
    """The part of a run in a cluster that its addons need."""

    #: The namespace that the productpage is in; nobody else sends requests to it.
    namespace: str

    def count_requests(self) -> int:
        """Return how many requests to the productpage the proxies themselves have counted."""

    def count_sidecars(self) -> int:
        """Return the number of sidecars in that namespace."""


@dataclass(frozen=True)
class ClusterLookup:
    """How to find an addon in a cluster: its Services by name, their ports by number or name.

    The first Service that fits is taken. `install` is the command that installs the addon.
    `excluded_selectors` are selector values of other programs' Services. `needs_spans` says that
    spans must be sent to the addon.
    """

    services: tuple[str, ...]
    ports: tuple[int | str, ...]
    install: str
    excluded_selectors: tuple[str, ...] = ()
    needs_spans: bool = False


@dataclass(frozen=True)
class AddonEvidence:
    """What an addon shows: the number of our requests in it, and a description of that.

    `count` is UNCOUNTED if it holds them but does not count.
    """

    count: int
    description: str


class Addon(Protocol):
    """An addon that answers: its URL and what it shows of our traffic.

    Requests show up in it within `evidence_timeout` seconds.
    """

    url: str
    evidence_timeout: float

    def read_baseline(self) -> int:
        """Return the count that the addon must reach by now; later requests are added to it.

        It comes from the proxies themselves, never from the addon. It is 0 where the addon knows
        our requests by their tag.
        """

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return what the addon shows of requests with our tag."""


def list_addons() -> list[str]:
    """Return the names of all addons: the modules of this folder."""
    return sorted(
        module.name.replace("_", "-")
        for module in pkgutil.iter_modules(__path__)
        if not module.name.startswith("_")
    )


def load_addon(name: str) -> ModuleType:
    """Return the module of an addon."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


class Addons:
    """The addons of one mesh; it starts those that the machine has.

    `send_spans` makes every proxy send its spans (Zipkin v2) to a port of this machine.
    """

    def __init__(
        self,
        workspace: Workspace,
        mesh: MeshView,
        programs: dict[str, str],
        send_spans: Callable[[int], None],
    ) -> None:
        self._workspace = workspace
        self._mesh = mesh
        self._send_spans = send_spans
        self._given = programs
        self._started: dict[str, Any] = {}

    def start(self) -> None:
        """Start every addon that the machine has; they start while the mesh does."""
        for name in list_addons():
            program = self._given.get(name)
            command = None if program == OFF else load_addon(name).find_command(program)
            if command is not None and name not in self._started:
                self._started[name] = load_addon(name).Addon(self._workspace, self._mesh, command)

    def update_targets(self) -> None:
        """Tell the addons that read every proxy which proxies run now."""
        for addon in self._started.values():
            if hasattr(addon, "update_targets"):
                addon.update_targets()

    def find_lack(self, name: str) -> Lack | None:
        """Return why an addon does not run and how to get it; None if it runs."""
        if name in self._started:
            return None
        if self._given.get(name) == OFF:
            return Lack(f"{name} was switched off")
        return Lack(f"{name} is not installed", load_addon(name).HOW_TO_GET)

    def get_ready(self, name: str, seconds: float = timeouts.ADDON_START) -> Addon:
        """Return a started addon once it answers.

        Raises NotReady with its last log lines if that takes longer than `seconds`.
        """
        addon: Addon = self._started[name]
        self._started[name].wait_ready(seconds)
        return addon

    def receive_spans(self, name: str) -> None:
        """Make every proxy send its spans to an addon that answers."""
        self._send_spans(self._started[name].span_port)

    def url(self, name: str, seconds: float) -> str:
        """Return the URL of an addon once it answers; empty if it does not run."""
        return self.get_ready(name, seconds).url if name in self._started else ""


def find_program(path: str | None, *names: str) -> list[str] | None:
    """Return the command of a program: `path`, else one of `names` on PATH, else None.

    Raises UsageError if `path` is no program.
    """
    if path is None:
        executable = next((path for path in map(shutil.which, names) if path), None)
        return [executable] if executable else None
    executable = shutil.which(path)
    if executable is None:
        raise UsageError(f"--mesh-addon: {path} is not a program that can be run")
    return [executable]


def find_jar(path: str) -> list[str]:
    """Return the command that runs a jar. Raises UsageError without the file or Java."""
    java = shutil.which("java")
    if not Path(path).is_file():
        raise UsageError(f"--mesh-addon: there is no file {path}")
    if java is None:
        raise UsageError(f"--mesh-addon: {path} needs java (17 or later) on PATH")
    return [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-jar", path]


def needs_spans(name: str) -> bool:
    """Say whether spans must be sent to an addon; proxies send theirs to one at a time."""
    lookup: ClusterLookup = load_addon(name).CLUSTER_LOOKUP
    return lookup.needs_spans


def wait_listening(process: Process, seconds: float) -> list[int]:
    """Return the ports that a process listens on, sorted, once it has one.

    Raises NotReady after so many seconds.
    """
    import psutil

    def look() -> list[int] | None:
        process.require_alive()
        try:
            connections = psutil.Process(process.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return None
        ports = sorted(
            {
                connection.laddr.port
                for connection in connections
                if connection.status == psutil.CONN_LISTEN
            }
        )
        return ports or None

    return wait_for(
        look,
        seconds,
        lambda: (
            f"{process.name} does not listen after {seconds:.0f} s; "
            f"last lines of its log:\n{process.tail()}"
        ),
        timeouts.POLL_SLOW,
    )


def get_json(url: str, **parameters: str) -> Any:
    """Return the JSON of GET `url`. Raises NotReady if the response is anything else."""
    import json

    try:
        return json.loads(get_text(url, **parameters))
    except ValueError as error:
        raise NotReady(f"{url}: {error}") from None


def get_text(url: str, **parameters: str) -> str:
    """Return the body of GET `url`. Raises NotReady unless the status is 200."""
    import requests

    try:
        response = requests.get(url, params=parameters, timeout=timeouts.ADMIN)
        response.raise_for_status()
    except (requests.RequestException, ValueError) as error:
        raise NotReady(f"{url}: {error}") from None
    return response.text


def wait_answering(process: Process, look: Callable[[], Any], seconds: float) -> None:
    """Wait until `look` no longer raises NotReady.

    Raises NotReady if the process ends, or after so many seconds.
    """
    wait_answered(
        look,
        seconds,
        lambda _: f"{process.name} does not answer; last lines of its log:\n{process.tail()}",
        process.require_alive,
    )
