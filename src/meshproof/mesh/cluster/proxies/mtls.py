"""Which sidecars must require mutual TLS while a run's policies hold, and after them.

Source: Istio reference, PeerAuthentication: a policy of a namespace overrides that of the mesh,
which holds again afterwards. The mesh's policy is not read: the sidecars show its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.proxies.proxies import Proxy

#: Mode -> whether a sidecar then requires mutual TLS.
_STRICT = {"STRICT": True, "PERMISSIVE": False, "DISABLE": False}


@dataclass(frozen=True)
class MtlsExpectation:
    """What sidecars required before the run's policies, and what the policies require."""

    observed: Mapping[Proxy, bool | None]
    required: Mapping[str, bool]

    @classmethod
    def observe(
        cls,
        kube: Kube,
        list_proxies: Callable[[], Sequence[Proxy]],
        run_objects: Sequence[RunObject],
    ) -> MtlsExpectation | None:
        """Record what the sidecars require now; return None if no object is a policy."""
        policies = [
            run_object for run_object in run_objects if run_object.kind == "PeerAuthentication"
        ]
        if not policies:
            return None
        modes = {
            policy.namespace: (policy.body.get("spec", {}).get("mtls") or {}).get("mode")
            for policy in policies
        }
        required = {name: _STRICT[mode] for name, mode in modes.items() if mode in _STRICT}
        sidecars = [proxy for proxy in list_proxies() if not proxy.gateway]
        with ThreadPoolExecutor(proxies.AT_ONCE) as pool:
            observed = pool.map(lambda sidecar: proxies.is_strict(kube, sidecar), sidecars)
            return cls(dict(zip(sidecars, observed, strict=True)), required)

    def is_strict_during(self, sidecar: Proxy) -> bool | None:
        """Say whether a sidecar must require mutual TLS while the policies hold."""
        return self.required.get(sidecar.namespace, self.is_strict_after(sidecar))

    def is_strict_after(self, sidecar: Proxy) -> bool | None:
        """Say whether a sidecar must require mutual TLS after the policies.

        A sidecar must do what it did before; a new one what its namespace did. None if that is
        unknown, or was not the same for the whole namespace.
        """
        observed_mode = self.observed.get(sidecar)
        if observed_mode is not None:
            return observed_mode
        neighbour_modes = {
            mode for proxy, mode in self.observed.items() if proxy.namespace == sidecar.namespace
        }
        neighbour_modes -= {None}
        return neighbour_modes.pop() if len(neighbour_modes) == 1 else None
