"""Copies of requests that mirrors make: whether and how often a workload has got one.

Nobody hears a copy, so what is looked at is what the echo workloads have noted. Nothing is guessed
from a time that has passed: the callers' Envoys say that no copy is on its way, and a request of
our own that is in the notes says that all before it are.
"""

from __future__ import annotations

import http.client
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from meshproof.base import timeouts
from meshproof.mesh.envoy.envoy import Envoy
from meshproof.mesh.envoy.listeners import MIRROR_HEADER
from meshproof.mesh.process.processes import wait_for

#: Requests that are sent or wait to be (Envoy's docs, cluster statistics).
_ACTIVE_REQUESTS_STATS = r"^cluster\.outbound.*upstream_rq_(pending_)?active$"
_COUNT = re.compile(r": (\d+)$", re.M)


class MirroredCopies:
    """What echo workloads have noted in a file of requests with the header MIRROR."""

    def __init__(self, path: Path, servers: Envoy, callers: Sequence[Envoy]) -> None:
        self.path = path
        self._servers = servers
        self._callers = callers
        self._fences = (f"fence-{number}" for number in itertools.count())
        self._offset = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def count_copies(self) -> Counter[tuple[str, str]]:
        """Return (value of the header, workload) -> how often, since the start.

        Raises NotReady when copies are still on their way after their time.
        """
        wait_for(self._is_idle, timeouts.COPIES, lambda: "copies of requests do not get anywhere")
        fence = next(self._fences)
        name, port = next(iter(self._servers.read_listener_ports().items()))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeouts.REQUEST)
        connection.request("GET", "/", headers={MIRROR_HEADER: fence})
        connection.getresponse().read()
        connection.close()
        lines = wait_for(
            lambda: self._read_until(f"{fence} {name}"),
            timeouts.COPIES,
            lambda: "the workloads do not note what they get",
            timeouts.POLL_SLOW / 4,
        )
        pairs = (line.partition(" ") for line in lines)
        self._counts.update((value, workload) for value, _, workload in pairs)
        return self._counts

    def _is_idle(self) -> bool | None:
        for envoy in self._callers:
            counts = _COUNT.findall(envoy.get(f"/stats?filter={_ACTIVE_REQUESTS_STATS}"))
            if any(map(int, counts)):
                return None
        return True

    def _read_until(self, last: str) -> list[str] | None:
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole, fence, _ = b"\n".join((b"", text)).partition(f"\n{last}\n".encode())
        if not fence:
            return None
        self._offset += len(whole) + len(fence) - 1  # what came after the fence is news yet
        return whole.decode().split("\n")[1:]
