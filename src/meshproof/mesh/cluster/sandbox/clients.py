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

from meshproof.apps import probe as probe_script
from meshproof.base.errors import NotReady
from meshproof.base.names import Labels
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.run import probe
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.cluster.sandbox.rule_rewriter import SandboxNames
from meshproof.mesh.echo.listener import SEEN_AUTHORITY
from meshproof.mesh.protocol import Address, Answer, Asked, Sender

#: So many clients with labels of their own at most.
MAX_LABELLED_CLIENTS = 4
#: The user's namespace in whose stead a client stands, and the labels that it has for the rules.
Caller = tuple[str, Labels]
#: So many batches are under way at a time through the connections to a probe.
_MAX_BATCHES = 16
_HOST = "host"
_LOCATION = "location"


class ProbePool:
    """A probe for several threads: each has a connection of its own while it sends."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._idle = [probe]
        self._probes = [probe]
        self._slots = threading.BoundedSemaphore(_MAX_BATCHES)
        self._lock = threading.Lock()

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch from the probe; see `Probe.send`."""
        with self._slots:
            line = self._take_probe()
            try:
                return line.send(address, asked, workers, keep_alive)
            finally:
                with self._lock:
                    self._idle.append(line)

    def _take_probe(self) -> Probe:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self._probes.append(self._probe.clone())
            return self._probes[-1]

    def shown(self, curl: str) -> str:
        """Return the command that sends what `curl` would send from the probe's pod."""
        return self._probe.shown(curl)

    def close(self) -> None:
        """End the connections to the pod."""
        for one in self._probes:
            one.close()


class LocalSender:
    """The client that this machine is: for the way in, which is reached from outside."""

    def __init__(self) -> None:
        self._connections = probe_script.Connections()

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch as a probe does, from this process."""
        batch = probe.make_batch(address, asked, workers, keep_alive)
        return [probe.parse_answer(one) for one in probe_script.batch(batch, self._connections)]

    def shown(self, curl: str) -> str:
        """Return the command line as it is."""
        return curl


class RenamingSender:
    """A sender in whose requests the sandbox's names stand for the user's; answers: the reverse.

    An authority that a rule has written itself is none of the sandbox's, so it stays.
    """

    def __init__(self, sender: Sender, names: SandboxNames) -> None:
        self._sender = sender
        self._names = names

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch; see `Sender.send`."""
        renamed = [replace(one, headers=self._rename_request_headers(one.headers)) for one in asked]
        answers = self._sender.send(address, renamed, workers, keep_alive)
        return [
            replace(one, headers=self._restore_response_headers(one.headers)) for one in answers
        ]

    def shown(self, curl: str) -> str:
        """Return the command line with the names under which it can be sent."""
        words = []
        for word in shlex.split(curl):
            name, colon, value = word.partition(": ")
            if colon and name.lower() == _HOST:
                word = f"{name}: {self._names.rewrite_authority(value)}"
            words.append(word)
        return self._sender.shown(shlex.join(words))

    def _rename_request_headers(
        self, headers: Sequence[tuple[str, str]]
    ) -> tuple[tuple[str, str], ...]:
        to = self._names.rewrite_authority
        return tuple((name, to(one) if name.lower() == _HOST else one) for name, one in headers)

    def _restore_response_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        changes: dict[str, Callable[[str], str]] = {
            SEEN_AUTHORITY: self._names.restore_authority,
            _LOCATION: self._restore_location,
        }
        return {
            name: changes[name](value) if name in changes else value
            for name, value in headers.items()
        }

    def _restore_location(self, url: str) -> str:
        scheme, mark, rest = url.partition("://")
        if not mark:
            return url
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{self._names.restore_authority(authority)}{slash}{path}"


class SandboxClients:
    """The probes of a sandbox, by where they stand and the labels that they have for its rules."""

    def __init__(
        self, labels: Mapping[str, str], image: Callable[[str], str], callers: Iterable[Caller]
    ) -> None:
        """`labels` are those of the run and of injection, `callers` who must be there."""
        self._labels = labels
        self._image = image
        self.callers = list(dict.fromkeys(callers))
        self._pods: dict[Caller, tuple[str, str]] = {}
        self._senders: dict[Caller | None, Sender] = {}
        self._probe_pools: list[ProbePool] = []
        #: The sidecar of each probe.
        self.proxies: dict[Caller, Proxy] = {}

    def create(self, kube: Kube, names: SandboxNames) -> None:
        """Create the probes in namespaces of the sandbox, which must be there."""
        for number, caller in enumerate(self.callers):
            labels, namespace = {**dict(caller[1]), **self._labels}, names.namespaces[caller[0]]
            name = f"meshproof-probe-{number}" if number else ""
            made = Probe.create(kube, namespace, labels, self._image, sidecar=True, name=name)
            self._pods[caller] = namespace, made

    def wait_ready(self, kube: Kube, names: SandboxNames) -> None:
        """Wait until the probes take requests. Raises NotReady for one that does not come up."""
        for caller, place in self._pods.items():
            probe = Probe.wait_ready(kube, *place)
            self._probe_pools.append(ProbePool(probe))
            self._senders[caller] = RenamingSender(self._probe_pools[-1], names)
            self.proxies[caller] = Proxy(probe.pod, probe.namespace)
        self._senders[None] = RenamingSender(LocalSender(), names)

    def sender(self, caller: Caller | None) -> Sender:
        """Return a client, None: the one outside the mesh."""
        if caller not in self._senders:
            raise NotReady(f"no client of the sandbox stands for {caller}")
        return self._senders[caller]

    def close(self) -> None:
        """End the connections to the probes."""
        for one in self._probe_pools:
            one.close()
