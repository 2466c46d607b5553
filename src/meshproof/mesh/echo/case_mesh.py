"""What the suite of own rules may ask of a mesh that serves them to echo workloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshproof.mesh.echo.workloads import Workloads
from meshproof.mesh.protocol import Address, Sender, Served
from meshproof.oracle.derive import Call, Case


class CaseMesh(Protocol):
    """Rules served to echo workloads: on this machine (`mesh.echo`), or in a cluster's sandbox."""

    #: How the mesh has settled on the rules; nothing before that is judged.
    served: Served | None
    #: The echo workloads, and what their answers tell.
    workloads: Workloads

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here; empty when it can."""

    def address(self, call: Call) -> Address:
        """Return where a call is sent."""

    def sender(self, case: Case) -> Sender | None:
        """Return the client that sends a case, None where it is this process."""

    def count_copies(self, case: Case, requests: Sequence[tuple[str, str]]) -> list[int]:
        """Return how many copies the mirror of a case has got of each of some requests.

        `requests` are, for each, the value of its header MIRROR and the workload that answered it.
        """
