"""Sidecars accept or refuse plaintext as declared; the mesh works either way.

Rules: manifests/rules/mtls_strict/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.http import HttpResponse
from meshproof.mesh.protocol import Mesh
from meshproof.run.failure import BrokenPromise
from meshproof.traffic.bookinfo_page import COMPLETE, describe_page

VISITS = 20
REFUSED = "every pod closes the connection without a response"

pytestmark = pytest.mark.needs("mtls", "plaintext-probe")

#: Pod name -> HTTP status of its response to a probe, None where it refused.
Statuses = Mapping[str, int | None]


def probe_pods(mesh: Mesh, probe: Callable[[str], int | None]) -> Statuses:
    """Return the status with which each pod answers `probe`. Raises BrokenPromise without pods."""
    statuses = {pod.name: probe(pod.name) for pod in mesh.replicas()}
    if not statuses:
        raise BrokenPromise("there is no pod in the mesh")
    return statuses


def require_refused(kind: str, statuses: Statuses) -> None:
    """Raise BrokenPromise if a pod answered a request of this `kind` (plaintext, TLS ...)."""
    accepted = [f"{name} ({status})" for name, status in statuses.items() if status]
    if accepted:
        pods = ", ".join(accepted)
        summary = f"STRICT is declared, but {kind} was answered by {pods}"
        raise BrokenPromise(summary, expected=REFUSED, observed=pods)


@pytest.fixture
def page_before(visit: Visitor) -> HttpResponse:
    """Send one visit before the policy is served; return its response."""
    return visit("/productpage").take(1)[0]


@pytest.mark.promise(7, "mtls as declared", "without a policy, plaintext is as --mesh-mtls says")
def test_plaintext_is_as_declared(mesh: Mesh, mesh_mtls: str) -> None:
    is_strict = mesh_mtls == "STRICT"
    statuses = probe_pods(mesh, mesh.probe_plaintext)
    pods = [name for name, status in statuses.items() if (status is None) != is_strict]
    if pods:
        raise BrokenPromise(f"{mesh_mtls} is declared, but not so at: {', '.join(pods)}")


@pytest.mark.promise(
    7, "mtls strict", "a STRICT policy refuses all but mutual TLS, the mesh goes on"
)
@pytest.mark.rules("mtls_strict")
@pytest.mark.usefixtures("page_before", "routed")
def test_strict_refuses_all_but_mutual_tls(
    mesh: Mesh, visit: Visitor, page_before: HttpResponse
) -> None:
    """Pods refuse plaintext and TLS without a client certificate; visits get whole pages.

    Inconclusive if the page was not whole before the policy, either.
    """
    require_refused("plaintext", probe_pods(mesh, mesh.probe_plaintext))
    require_refused("TLS without a client certificate", probe_pods(mesh, mesh.probe_tls))
    before = describe_page(page_before)
    if before != COMPLETE:
        raise Inconclusive(f"without the policy, too, a visit gets {before}")
    visits = visit("/productpage")
    pages = [describe_page(response) for response in visits.take(VISITS)]
    faults = [page for page in pages if page != COMPLETE]
    if faults:
        raise BrokenPromise(
            f"STRICT stops the mesh itself: {len(faults)} of {VISITS} visits got {faults[0]}",
            expected=f"{COMPLETE}, each of {VISITS} visits",
            observed=", ".join(dict.fromkeys(faults)),
            curl=visits.curl,
        )
