"""The local mesh of a user's rules, with several pods of each workload where a case is about them.

Such cases have Envoys of their own. To all others every workload is one pod that no hash picks: the
judge's requests must go by chance to all that may answer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Self

from meshproof.inventory.known_hosts import KnownHosts
from meshproof.mesh.echo.mesh import EchoMesh
from meshproof.mesh.protocol import Address, Options
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import RuleSet


class _PodMesh(EchoMesh):
    """The Envoys of cases of which pod answers."""

    _pods_of_each = 4


class RuleMesh(EchoMesh):
    """Real Envoys that serve rules to echo workloads; see `opened`."""

    _pod_mesh: _PodMesh | None = None

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, cases: Iterable[Case], known_hosts: KnownHosts
    ) -> Iterator[Self]:
        """Serve the rules to the clients that the cases need; see `LocalRuleMesh.opened`."""
        cases = list(cases)
        pod_cases = [case for case in cases if case.pod_key is not None]
        other_cases = [case for case in cases if case.pod_key is None]
        with contextlib.ExitStack() as stack:
            mesh = stack.enter_context(
                super().opened(options, _drop_hashes(rules), other_cases, known_hosts)
            )
            if pod_cases:
                own_options = replace(options, ingress_port=0)
                mesh._pod_mesh = stack.enter_context(
                    _PodMesh.opened(own_options, rules, pod_cases, known_hosts)
                )
            yield mesh

    def address(self, call: Call) -> Address:
        """Return the address to send a call to: a sidecar's listener, or the ingress."""
        if call.shows_pods and self._pod_mesh is not None:
            return self._pod_mesh.address(call)
        return super().address(call)

    def require_processes(self) -> None:
        """Raise an error if one of the Envoys has ended; see `CaseMesh.require_processes`."""
        super().require_processes()
        if self._pod_mesh is not None:
            self._pod_mesh.require_processes()

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here; empty if it can."""
        if case.pod_key is not None and case.pod_key.pod_hash.kind == "source":
            return "" if sys.platform == "linux" else "all requests here come from one address"
        return super().explain_unproven(case)


def _drop_hashes(rules: RuleSet) -> RuleSet:
    """Return rules that pick no pod by a hash."""
    destination_rules = (replace(rule, balancers=()) for rule in rules.destination_rules)
    return replace(rules, destination_rules=tuple(destination_rules))
