"""The interface of a mesh that serves a user's rules to echo workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from meshproof.mesh.echo.listener import MarkerHeaders
from meshproof.mesh.echo.workloads import Workloads
from meshproof.mesh.http import Sender
from meshproof.mesh.protocol import Address, Served
from meshproof.oracle.derive import Call, Case


class CaseMesh(Protocol):
    """Serves rules to echo workloads: on this machine (`mesh.echo`) or in a cluster's sandbox."""

    #: The rules that the mesh has settled on; None before.
    served: Served | None
    #: The echo workloads, and what their responses can prove.
    workloads: Workloads
    #: The headers in which the echo workloads tell who answered and what arrived.
    markers: MarkerHeaders

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here; empty if it can."""

    def require_processes(self) -> None:
        """Raise an error if a process of the run's own has ended; see `Mesh.require_processes`."""

    def address(self, call: Call) -> Address:
        """Return the address to send a call to."""

    def sender(self, case: Case) -> Sender:
        """Return the client that sends a case."""

    def read_config(self, call: Call) -> Mapping[tuple[str, ...], str] | None:
        """Return what the proxy that takes a call is told: each value by its place.

        None where the control plane is none of its own.
        """

    def count_copies(self, case: Case, requests: Sequence[tuple[str, str]]) -> list[int]:
        """Return, for each request, how many copies of it the case's mirror destination got.

        `requests` has a pair for each: the value of its header MIRROR_HEADER and the workload that
        answered.
        """
