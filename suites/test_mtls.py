"""Sidecars take plaintext or refuse it, as declared; the mesh itself works either way.

Rules: manifests/rules/mtls_strict/.
"""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.protocol import Mesh
from meshproof.traffic.failure_analysis import describe_response
from meshproof.traffic.http import Visit

VISITS = 20

pytestmark = pytest.mark.needs("mtls", "plaintext-probe")


def answers(mesh: Mesh) -> dict[str, int | None]:
    """Return pod name -> status of its answer to plaintext, None where it was refused."""
    found = {pod.name: mesh.plaintext(pod.name) for pod in mesh.replicas()}
    assert found, "there is no pod in the mesh"
    return found


@pytest.fixture
def page_before(visit: Visitor) -> Visit:
    """Return a visit from before the policy is served."""
    return visit("/productpage").take(1)[0]


@pytest.mark.promise(7, "mtls as declared", "without a policy, plaintext is as --mesh-mtls says")
def test_plaintext_is_as_declared(mesh: Mesh, mesh_mtls: str) -> None:
    strict = mesh_mtls == "STRICT"
    wrong = [name for name, status in answers(mesh).items() if (status is None) != strict]
    assert not wrong, f"{mesh_mtls} is declared, but not so at: {', '.join(wrong)}"


@pytest.mark.promise(7, "mtls strict", "a STRICT policy refuses plaintext, the mesh goes on")
@pytest.mark.rules("mtls_strict")
@pytest.mark.usefixtures("page_before", "routed")
def test_strict_refuses_plaintext(mesh: Mesh, visit: Visitor, page_before: Visit) -> None:
    accepted = [f"{name} ({status})" for name, status in answers(mesh).items() if status]
    assert not accepted, f"STRICT is declared, but plaintext was answered by {', '.join(accepted)}"
    if page_before.status != 200:
        raise Inconclusive(f"without the policy, too, a visit gets {describe_response(page_before)}")
    wrong = [one for one in visit("/productpage").take(VISITS) if one.status != 200]
    assert not wrong, (
        f"STRICT stops the mesh itself: {len(wrong)} of {VISITS} visits got {describe_response(wrong[0])}"
    )
