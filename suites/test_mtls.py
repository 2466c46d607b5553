"""Sidecars accept or refuse plaintext as declared; the mesh works either way.

Rules: manifests/rules/mtls_strict/.
"""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.http import HttpResponse
from meshproof.mesh.protocol import Mesh
from meshproof.traffic.failure_analysis import describe_response

VISITS = 20

pytestmark = pytest.mark.needs("mtls", "plaintext-probe")


def read_plaintext_statuses(mesh: Mesh) -> dict[str, int | None]:
    """Return pod name -> HTTP status of its response to plaintext, None where it refused."""
    statuses = {pod.name: mesh.probe_plaintext(pod.name) for pod in mesh.replicas()}
    assert statuses, "there is no pod in the mesh"
    return statuses


@pytest.fixture
def page_before(visit: Visitor) -> HttpResponse:
    """Send one visit before the policy is served; return its response."""
    return visit("/productpage").take(1)[0]


@pytest.mark.promise(7, "mtls as declared", "without a policy, plaintext is as --mesh-mtls says")
def test_plaintext_is_as_declared(mesh: Mesh, mesh_mtls: str) -> None:
    is_strict = mesh_mtls == "STRICT"
    statuses = read_plaintext_statuses(mesh)
    pods = [name for name, status in statuses.items() if (status is None) != is_strict]
    assert not pods, f"{mesh_mtls} is declared, but not so at: {', '.join(pods)}"


@pytest.mark.promise(7, "mtls strict", "a STRICT policy refuses plaintext, the mesh goes on")
@pytest.mark.rules("mtls_strict")
@pytest.mark.usefixtures("page_before", "routed")
def test_strict_refuses_plaintext(mesh: Mesh, visit: Visitor, page_before: HttpResponse) -> None:
    statuses = read_plaintext_statuses(mesh)
    accepted = [f"{name} ({status})" for name, status in statuses.items() if status]
    assert not accepted, f"STRICT is declared, but plaintext was answered by {', '.join(accepted)}"
    if page_before.status != 200:
        raise Inconclusive(
            f"without the policy, too, a visit gets {describe_response(page_before)}"
        )
    visits = visit("/productpage").take(VISITS)
    failures = [response for response in visits if response.status != 200]
    assert not failures, (
        f"STRICT stops the mesh itself: {len(failures)} of {VISITS} visits got "
        f"{describe_response(failures[0])}"
    )
