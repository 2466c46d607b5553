"""What meshes of echo workloads on this machine share: the local one and the one of an istiod."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

from meshproof.base.names import MESH, Labels
from meshproof.base.signals import interruptible
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.mesh.echo.listener import EchoBehaviour, MarkerHeaders
from meshproof.mesh.echo.mirrored_copies import MirroredCopies
from meshproof.mesh.echo.servers import EchoServers
from meshproof.mesh.echo.workloads import DEFAULT_BETA, Workloads, plan_echo_workloads
from meshproof.mesh.envoy.envoy import Envoy, find_binary
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Options, Served
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import RuleSet

#: The namespace and the labels of a calling workload.
Source = tuple[str, Labels]


def find_source(call: Call) -> Source:
    """Return the namespace and the labels of a call's client."""
    return call.namespace, call.source


class LocalRuleMesh(ABC):
    """Rules that Envoys of this machine serve to echo workloads: a `case_mesh.CaseMesh`."""

    def __init__(
        self,
        options: Options,
        workspace: Workspace,
        rules: RuleSet,
        cases: Iterable[Case],
        known_hosts: KnownHosts,
    ) -> None:
        """Raise BadRules for a host or a kind of rule that this mesh does not serve."""
        cases = list(cases)
        self._binary = find_binary(options.envoy)
        self._rules = rules
        self._known_hosts = known_hosts
        self._servers = EchoServers(workspace, self._binary)
        calls = [case.call for case in cases if case.call.gateway == MESH]
        self._sources = sorted({find_source(call) for call in calls})
        self._behaviour = EchoBehaviour.from_cases(cases)
        self.markers = MarkerHeaders.for_rules(rules)
        self.echoes = plan_echo_workloads(rules, known_hosts)
        self.workloads = Workloads(self.echoes, options.beta or DEFAULT_BETA)
        self.served: Served | None = None
        self._sender = LocalSender()

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, cases: Iterable[Case], known_hosts: KnownHosts
    ) -> Iterator[Self]:
        """Serve the rules to the clients that the cases need; end everything with the context.

        Raises BadRules if the control plane refuses the rules or an Envoy rejects them.
        """
        with interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace, rules, cases, known_hosts)
            mesh._serve()
            with contextlib.closing(mesh._sender):
                yield mesh

    @abstractmethod
    def _serve(self) -> None:
        """Start everything and serve the rules."""

    @abstractmethod
    def _list_proxies(self) -> Sequence[Envoy]:
        """Return the Envoys that route: those of the clients, and the ingress."""

    @cached_property
    def _copies(self) -> MirroredCopies:
        """The mirrored copies that the echo workloads note."""
        return MirroredCopies(self._servers.copies_path, self._servers.envoy, self._list_proxies())

    @abstractmethod
    def address(self, call: Call) -> Address:
        """Return the address to send a call to: a port of a sidecar, or of the ingress."""

    def require_processes(self) -> None:
        """Raise an error if one of the Envoys has ended; see `CaseMesh.require_processes`."""
        self._servers.envoy.process.require_alive()  # our workloads: no rule of the user's is in it
        for proxy in self._list_proxies():
            proxy.require_alive()

    def read_config(self, call: Call) -> Mapping[tuple[str, ...], str] | None:
        """Return None: the config is meshproof's own."""
        return None

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here: never."""
        return ""

    def sender(self, case: Case) -> LocalSender:
        """Return the client that sends a case: this process, over connections that cases share."""
        return self._sender

    def count_copies(self, case: Case, requests: Sequence[tuple[str, str]]) -> list[int]:
        """Return how many copies each of some requests has had; see `CaseMesh.count_copies`."""
        return self.workloads.count_copies(case, requests, self._copies.count_copies())
