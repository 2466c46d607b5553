"""What istiod says of its proxies: connected or not, updates acknowledged or refused.

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
#: Kinds of config before istiod 1.23, which had a pair `<kind>_sent`, `<kind>_acked` for each.
_OLD_KINDS = ("cluster", "listener", "route", "endpoint")


@dataclass(frozen=True)
class ProxyStatus:
    """A proxy as istiod knows it; `faults` names each kind of config that it has not taken."""

    proxy: str
    version: str
    faults: tuple[str, ...] = ()


@dataclass
class SyncStatus:
    """The states of all proxies, by name (`pod.namespace`)."""

    proxies: dict[str, ProxyStatus] = field(default_factory=dict)

    def add(self, syncz: str) -> None:
        """Add the answer of one istiod. A fault-free state of a proxy is never replaced."""
        for entry in json.loads(syncz):
            status = ProxyStatus(
                entry["proxy"], entry.get("istio_version", ""), tuple(_find_unacknowledged(entry))
            )
            recorded = self.proxies.get(status.proxy)
            # After a reconnect, the old connection stays listed for a while.
            if recorded is None or recorded.faults:
                self.proxies[status.proxy] = status

    def faults(self, names: Iterable[str]) -> list[str]:
        """Return the faults of the named proxies: not connected, STALE, NACK."""
        faults: list[str] = []
        for name in names:
            status = self.proxies.get(name)
            if status is None:
                faults.append(f"{name} is not connected to istiod")
            else:
                faults += [f"{name}: {fault}" for fault in status.faults]
        return faults


def _find_unacknowledged(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the kinds of config that a proxy has not acknowledged as last sent."""
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
