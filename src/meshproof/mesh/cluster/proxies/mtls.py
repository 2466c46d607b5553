"""Which sidecars must take mutual TLS only, while a run's own policies hold and after them.

Source: Istio reference, PeerAuthentication: a policy of a namespace goes before that of the mesh,
which holds again when it is gone. What that one says is not asked: the sidecars show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.proxies.proxies import Proxy

#: Modes in which a sidecar takes mutual TLS only, or plaintext, too.
_STRICT = {"STRICT": True, "PERMISSIVE": False, "DISABLE": False}


@dataclass(frozen=True)
class MtlsExpectation:
    """What sidecars took before a run's policies, and what the policies ask of their namespaces."""

    observed: Mapping[Proxy, bool | None]
    required: Mapping[str, bool]

    @classmethod
    def observe(
        cls, kube: Kube, listed: Callable[[], Sequence[Proxy]], placed: Sequence[RunObject]
    ) -> MtlsExpectation | None:
        """Note what the sidecars take now; None where there is no policy among the objects."""
        policies = [one for one in placed if one.kind == "PeerAuthentication"]
        if not policies:
            return None
        modes = {
            one.namespace: (one.body.get("spec", {}).get("mtls") or {}).get("mode")
            for one in policies
        }
        asked = {name: _STRICT[mode] for name, mode in modes.items() if mode in _STRICT}
        sidecars = [one for one in listed() if not one.gateway]
        with ThreadPoolExecutor(proxies.AT_ONCE) as pool:
            found = pool.map(lambda one: proxies.is_strict(kube, one), sidecars)
            return cls(dict(zip(sidecars, found, strict=True)), asked)

    def is_strict_during(self, sidecar: Proxy) -> bool | None:
        """Say whether a sidecar must take mutual TLS only while the policies hold."""
        return self.required.get(sidecar.namespace, self.is_strict_after(sidecar))

    def is_strict_after(self, sidecar: Proxy) -> bool | None:
        """Say whether it must after them: as before, or as its namespace where it has come since.

        None where its namespace was of two minds, or nobody was there.
        """
        known = self.observed.get(sidecar)
        if known is not None:
            return known
        around = {
            one for proxy, one in self.observed.items() if proxy.namespace == sidecar.namespace
        }
        around -= {None}
        return around.pop() if len(around) == 1 else None
