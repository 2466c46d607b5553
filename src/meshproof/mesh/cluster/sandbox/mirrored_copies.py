"""Counts the copies of requests that mirrors send in a sandbox, from the echo workloads' notes.

It waits for no fixed time. The clients' sidecars show when no request and no copy is under way, and
an echo notes a request before it answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from meshproof.apps.echo_pod import COPIES_PATH, PORT
from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.port_forward import Channel
from meshproof.mesh.cluster.proxies.proxies import ADMIN_PORT, Proxy

#: The statistics of active and pending requests (Envoy docs, cluster statistics).
_REQUESTS_UNDER_WAY = r"^cluster\.outbound.*upstream_rq_(pending_)?active$"
_COUNT = re.compile(r": (\d+)$", re.M)


class MirroredCopies:
    """The echo workloads' notes of requests; `pods` maps workload -> (namespace, pod)."""

    def __init__(
        self, kube: Kube, pods: Mapping[str, tuple[str, str]], clients: Iterable[Proxy]
    ) -> None:
        self._admins = {
            str(client): Channel(kube, client.pod, client.namespace, ADMIN_PORT)
            for client in clients
        }
        self._echoes = {
            name: Channel(kube, pod, namespace, PORT) for name, (namespace, pod) in pods.items()
        }

    def count(self) -> Counter[tuple[str, str]]:
        """Return (header value, workload) -> number of requests since the start.

        Raises NotReady when copies are still under way after `timeouts.COPIES` seconds.
        """
        wait_for(
            self._check_idle,
            timeouts.COPIES,
            lambda: "copies of requests do not get anywhere",
            timeouts.POLL_SLOW,
        )
        counts: Counter[tuple[str, str]] = Counter()
        for name, channel in self._echoes.items():
            for value, count in json.loads(channel.ask(COPIES_PATH)).items():
                counts[value, name] = int(count)
        return counts

    def _check_idle(self) -> bool | None:
        """Return True once no client has a request under way. Raises NotReady if none counts."""
        counts_by_client = {
            name: _COUNT.findall(admin.ask(f"/stats?filter={_REQUESTS_UNDER_WAY}"))
            for name, admin in self._admins.items()
        }
        if not any(counts_by_client.values()):
            raise NotReady(
                f"{', '.join(counts_by_client)}: none counts its requests (cluster.outbound)"
            )
        return (
            None
            if any(int(count) for counts in counts_by_client.values() for count in counts)
            else True
        )

    def close(self) -> None:
        """End the connections to the pods."""
        for channel in (*self._admins.values(), *self._echoes.values()):
            channel.close()
