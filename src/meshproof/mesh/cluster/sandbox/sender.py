"""Requests of a sandbox: sent under its own host names, told under those of the user."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from meshproof.apps import probe as script
from meshproof.mesh.cluster.run import probe
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.cluster.sandbox.rules import Names
from meshproof.mesh.echo.listener import SEEN_AUTHORITY
from meshproof.mesh.protocol import Address, Answer, Asked, Sender

#: So many batches are under way at a time through the connections to a probe.
_AT_ONCE = 16
_HOST = "host"
_LOCATION = "location"


class Lines:
    """A probe for several threads: each has a connection of its own while it sends."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._idle = [probe]
        self._made = [probe]
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch from the probe; see `Probe.send`."""
        with self._free:
            line = self._line()
            try:
                return line.send(address, asked, workers, keep_alive)
            finally:
                with self._lock:
                    self._idle.append(line)

    def _line(self) -> Probe:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self._made.append(self._probe.another())
            return self._made[-1]

    def shown(self, curl: str) -> str:
        """Return the command that sends what `curl` would send from the probe's pod."""
        return self._probe.shown(curl)

    def close(self) -> None:
        """End the connections to the pod."""
        for one in self._made:
            one.close()


class Here:
    """The client that this machine is: for the way in, which is reached from outside."""

    def __init__(self) -> None:
        self._connections = script.Connections()

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch as a probe does, from this process."""
        batch = probe.batch_of(address, asked, workers, keep_alive)
        return [probe.answer(one) for one in script.batch(batch, self._connections)]

    def shown(self, curl: str) -> str:
        """Return the command line as it is."""
        return curl


class Renaming:
    """A sender in whose requests the sandbox's names stand for the user's; answers: the reverse.

    An authority that a rule has written itself is none of the sandbox's, so it stays.
    """

    def __init__(self, sender: Sender, names: Names) -> None:
        self._sender = sender
        self._names = names

    def send(
        self, address: Address, asked: Sequence[Asked], workers: int, keep_alive: bool
    ) -> list[Answer]:
        """Send a batch; see `Sender.send`."""
        renamed = [replace(one, headers=self._sent(one.headers)) for one in asked]
        answers = self._sender.send(address, renamed, workers, keep_alive)
        return [replace(one, headers=self._told(one.headers)) for one in answers]

    def shown(self, curl: str) -> str:
        """Return the command line with the names under which it can be sent."""
        words = []
        for word in shlex.split(curl):
            name, colon, value = word.partition(": ")
            if colon and name.lower() == _HOST:
                word = f"{name}: {self._names.authority(value)}"
            words.append(word)
        return self._sender.shown(shlex.join(words))

    def _sent(self, headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        to = self._names.authority
        return tuple((name, to(one) if name.lower() == _HOST else one) for name, one in headers)

    def _told(self, headers: Mapping[str, str]) -> dict[str, str]:
        changes: dict[str, Callable[[str], str]] = {
            SEEN_AUTHORITY: self._names.back,
            _LOCATION: self._location,
        }
        return {
            name: changes[name](value) if name in changes else value
            for name, value in headers.items()
        }

    def _location(self, url: str) -> str:
        scheme, mark, rest = url.partition("://")
        if not mark:
            return url
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{self._names.back(authority)}{slash}{path}"
