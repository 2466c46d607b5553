"""Count the mirrored copies of requests that each echo workload got.

Nobody gets the response to a copy, so the count comes from what the workloads note. It does not
rest on a waiting time: the clients' Envoys show that no copy is under way, and a request of our own
in the notes shows that all earlier ones are there.
"""

from __future__ import annotations

import http.client
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from meshproof.base import timeouts
from meshproof.base.names import MIRROR_HEADER
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy.admin import STATS_LISTENER
from meshproof.mesh.envoy.envoy import Envoy

#: Requests under way or waiting to be sent (Envoy's docs, cluster statistics).
_ACTIVE_REQUESTS_STATS = r"^cluster\.outbound.*upstream_rq_(pending_)?active$"
_COUNT = re.compile(r": (\d+)$", re.M)


class MirroredCopies:
    """The requests with the header MIRROR_HEADER that echo workloads note in a file."""

    def __init__(self, path: Path, servers: Envoy, callers: Sequence[Envoy]) -> None:
        self.path = path
        self._servers = servers
        self._callers = callers
        self._fences = (f"fence-{number}" for number in itertools.count())
        self._offset = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def count_copies(self) -> Counter[tuple[str, str]]:
        """Return (value of the header, workload) -> number of requests, since the start.

        Raises NotReady if copies are still under way after COPIES seconds.
        """
        wait_for(self._is_idle, timeouts.COPIES, lambda: "copies of requests do not get anywhere")
        fence = next(self._fences)
        ports = self._servers.read_listener_ports()
        name, port = next(pair for pair in ports.items() if pair[0] != STATS_LISTENER)
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
        """Return True once no client's Envoy has a request under way, else None."""
        for envoy in self._callers:
            counts = _COUNT.findall(envoy.read_admin(f"/stats?filter={_ACTIVE_REQUESTS_STATS}"))
            if any(map(int, counts)):
                return None
        return True

    def _read_until(self, last: str) -> list[str] | None:
        """Return the new lines before the line `last`; None until that line is there."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole, fence, _ = b"\n".join((b"", text)).partition(f"\n{last}\n".encode())
        if not fence:
            return None
        self._offset += (
            len(whole) + len(fence) - 1
        )  # what comes after the fence is for the next call
        return whole.decode().split("\n")[1:]
