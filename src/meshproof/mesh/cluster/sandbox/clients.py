"""The clients of a sandbox and how they send: one probe with a sidecar for each set of labels.

A client without labels stands for every other caller. A DestinationRule may hold for one namespace
only: then there are clients in that namespace, too. Requests to a gateway are sent from this
process. Requests carry the sandbox's host names; responses show the user's.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from meshproof.base.errors import NotReady
from meshproof.base.names import Labels
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.cluster.sandbox.rule_rewriter import SandboxNames
from meshproof.mesh.echo.listener import SEEN_AUTHORITY_HEADER
from meshproof.mesh.http import HttpRequest, HttpResponse, NoResponse, Sender
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.protocol import Address

#: The most clients with source labels.
MAX_LABELLED_CLIENTS = 4
#: The user's namespace that a client stands for, and its source labels.
Caller = tuple[str, Labels]
#: Concurrent batches of one probe.
_MAX_BATCHES = 16
_HOST = "host"
_LOCATION = "location"


class ProbePool:
    """One probe for several threads: each uses its own connection while it sends."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._idle = [probe]
        self._probes = [probe]
        self._slots = threading.BoundedSemaphore(_MAX_BATCHES)
        self._lock = threading.Lock()

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send a batch from the probe; see `Probe.send`."""
        with self._slots:
            probe = self._take_probe()
            try:
                return probe.send(address, requests, workers, keep_alive)
            finally:
                with self._lock:
                    self._idle.append(probe)

    def _take_probe(self) -> Probe:
        """Return an idle connection to the probe, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self._probes.append(self._probe.clone())
            return self._probes[-1]

    def describe_command(self, curl: str) -> str:
        """Return the command that sends what `curl` would send from the probe's pod."""
        return self._probe.describe_command(curl)

    def close(self) -> None:
        """End the connections to the pod."""
        for probe in self._probes:
            probe.close()


class RenamingSender:
    """Sends with the sandbox's names in place of the user's, and restores them in responses.

    An authority that a rule has rewritten is not one of the sandbox's: it stays.
    """

    def __init__(self, sender: Sender, names: SandboxNames) -> None:
        self._sender = sender
        self._names = names

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send a batch; see `Sender.send`."""
        renamed = [
            replace(request, headers=self._rename_request_headers(request.headers))
            for request in requests
        ]
        return [
            self._restore_names(outcome)
            for outcome in self._sender.send(address, renamed, workers, keep_alive)
        ]

    def describe_command(self, curl: str) -> str:
        """Return the command line with the names of the sandbox."""
        arguments = []
        for argument in shlex.split(curl):
            name, colon, value = argument.partition(": ")
            if colon and name.lower() == _HOST:
                argument = f"{name}: {self._names.rewrite_authority(value)}"
            arguments.append(argument)
        return self._sender.describe_command(shlex.join(arguments))

    def _rename_request_headers(
        self, headers: Sequence[tuple[str, str]]
    ) -> tuple[tuple[str, str], ...]:
        """Return the headers with the sandbox's name in Host."""
        rewrite = self._names.rewrite_authority
        return tuple(
            (name, rewrite(value) if name.lower() == _HOST else value) for name, value in headers
        )

    def _restore_names(self, outcome: HttpResponse | NoResponse) -> HttpResponse | NoResponse:
        """Return a response with the user's names; the lack of one as it is."""
        if isinstance(outcome, NoResponse):
            return outcome
        return replace(outcome, headers=self._restore_response_headers(outcome.headers))

    def _restore_response_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a response with the user's names."""
        restorers: dict[str, Callable[[str], str]] = {
            SEEN_AUTHORITY_HEADER: self._names.restore_authority,
            _LOCATION: self._restore_location,
        }
        return {
            name: restorers[name](value) if name in restorers else value
            for name, value in headers.items()
        }

    def _restore_location(self, url: str) -> str:
        """Return a Location with the user's host name."""
        scheme, separator, authority_and_path = url.partition("://")
        if not separator:
            return url
        authority, slash, path = authority_and_path.partition("/")
        return f"{scheme}://{self._names.restore_authority(authority)}{slash}{path}"


class SandboxClients:
    """The probes of a sandbox, by namespace and by the source labels that they have."""

    def __init__(
        self, labels: Mapping[str, str], image: Callable[[str], str], callers: Iterable[Caller]
    ) -> None:
        """`labels` are those of the run and of injection, `callers` the clients to create."""
        self._labels = labels
        self._image = image
        self.callers = list(dict.fromkeys(callers))
        self._pods: dict[Caller, tuple[str, str]] = {}
        self._senders: dict[Caller | None, Sender] = {}
        self._probe_pools: list[ProbePool] = []
        self._outside_sender = LocalSender()
        #: The sidecar of each probe.
        self.proxies: dict[Caller, Proxy] = {}

    def create(self, kube: Kube, names: SandboxNames) -> None:
        """Create the probes in the sandbox's namespaces, which must exist."""
        for number, caller in enumerate(self.callers):
            labels, namespace = {**dict(caller[1]), **self._labels}, names.namespaces[caller[0]]
            name = f"meshproof-probe-{number}" if number else ""
            pod = Probe.create(kube, namespace, labels, self._image, sidecar=True, name=name)
            self._pods[caller] = namespace, pod

    def wait_ready(self, kube: Kube, names: SandboxNames) -> None:
        """Wait until the probes take requests. Raises NotReady for one that does not start."""
        for caller, pod_key in self._pods.items():
            probe = Probe.wait_ready(kube, *pod_key)
            self._probe_pools.append(ProbePool(probe))
            self._senders[caller] = RenamingSender(self._probe_pools[-1], names)
            self.proxies[caller] = Proxy(probe.pod, probe.namespace)
        self._senders[None] = RenamingSender(self._outside_sender, names)

    def sender(self, caller: Caller | None) -> Sender:
        """Return the sender of a caller; None stands for the client outside the mesh."""
        if caller not in self._senders:
            raise NotReady(f"no client of the sandbox stands for {caller}")
        return self._senders[caller]

    def close(self) -> None:
        """End the connections to the probes."""
        for pool in self._probe_pools:
            pool.close()
        self._outside_sender.close()
