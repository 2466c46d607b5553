"""What istiod says of its proxies: which are connected, what they have acknowledged or refused.

Source: istiod's debug interface, /debug/syncz on its port 15014; Envoy docs, "xDS protocol",
section "ACK and NACK". `istioctl proxy-status` shows the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

#: istiod's port for /version, /debug and its metrics.
MONITORING_PORT = 15014
#: Kinds of config before istiod 1.23 had `resources`: key of each pair `<key>_sent`, `_acked`.
_OLD_KINDS = ("cluster", "listener", "route", "endpoint")


@dataclass(frozen=True)
class ProxyStatus:
    """A proxy as istiod knows it; `faults` says which config it has not taken, kind by kind."""

    proxy: str
    version: str
    faults: tuple[str, ...] = ()


@dataclass
class SyncStatus:
    """All proxies that some istiods know, by name (`pod.namespace`)."""

    proxies: dict[str, ProxyStatus] = field(default_factory=dict)

    def add(self, syncz: str) -> None:
        """Take in what one istiod answers. A proxy that another one knows better stays."""
        for entry in json.loads(syncz):
            status = ProxyStatus(
                entry["proxy"], entry.get("istio_version", ""), tuple(_find_unacknowledged(entry))
            )
            recorded = self.proxies.get(status.proxy)
            # When a proxy has connected anew, its old connection stays in the list for a while.
            if recorded is None or recorded.faults:
                self.proxies[status.proxy] = status

    def faults(self, names: Iterable[str]) -> list[str]:
        """Return what is wrong with the proxies of these names: not connected, STALE, NACK."""
        faults: list[str] = []
        for name in names:
            status = self.proxies.get(name)
            if status is None:
                faults.append(f"{name} is not connected to istiod")
            else:
                faults += [f"{name}: {fault}" for fault in status.faults]
        return faults


def _find_unacknowledged(entry: dict[str, Any]) -> Iterator[str]:
    """Yield which kinds of config a proxy has not taken as it was sent last."""
    resources: dict[str, dict[str, str]] = entry.get("resources") or {
        kind: {
            "sent": entry.get(f"{kind}_sent", ""),
            "acked": entry.get(f"{kind}_acked", ""),
        }
        for kind in _OLD_KINDS
    }
    for kind, state in resources.items():
        name = kind.rpartition(".")[2]
        if error := state.get("lastError"):
            yield f"NACK: it refuses {name}: {error.strip()}"
        elif state.get("sent") and state["sent"] != state.get("acked"):
            sent_at = state.get("sentTime") or state["sent"].partition("/")[0]
            yield f"STALE: it has not acknowledged {name} that was sent at {sent_at}"
