"""An answer that a policy of the mesh gives decides no case of a rule: it is never green."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.oracle.derive import Case
from meshproof.user_rules import loading
from meshproof.user_rules.compare import CaseComparison

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
    - match: [{uri: {exact: /aborted}}]
      fault: {abort: {httpStatus: 403, percentage: {value: 100}}}
      route: [{destination: {host: cart}}]
    - match: [{uri: {exact: /denied}}]
      directResponse: {status: 403, body: {string: ask the shop}}
    - match: [{uri: {exact: /same}}]
      directResponse: {status: 403, body: {string: "RBAC: access denied"}}
    - route: [{destination: {host: cart}}]
"""
REFUSAL = "RBAC: access denied"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaseComparison]:
    """Path -> the answers to the case of that path."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(RULES)
    found = loading.load([str(file)])

    def of(case: Case) -> CaseComparison:
        known = found.workloads
        return CaseComparison(case, known.map_destinations(case), known.expected_shares(case))

    return {case.call.path: of(case) for case in reversed(found.plan.cases)}


def visit(answers: CaseComparison, status: int, body: str) -> HttpResponse:
    path = answers.case.call.path
    return HttpResponse(HttpRequest(path), status, {}, body.encode())


@pytest.mark.parametrize("path", ["/aborted", "/denied", "/meshproof-other"])
def test_a_refusal_is_neither_what_was_expected_nor_wrong(
    path: str, answers: dict[str, CaseComparison]
) -> None:
    with pytest.raises(Inconclusive, match="AuthorizationPolicy of the mesh refuses the caller"):
        answers[path].label(visit(answers[path], 403, REFUSAL))


def test_a_rule_that_says_the_same_is_kept(answers: dict[str, CaseComparison]) -> None:
    one = answers["/same"]
    assert one.label(visit(one, 403, REFUSAL)) in one.expected_shares


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/aborted", "fault filter abort", "HTTP 403"),
        ("/denied", "ask", "HTTP 403, but with 'ask', not 'ask the shop'"),
        ("/meshproof-other", "no", None),
    ],
)
def test_any_other_403_is_told_as_it_is(
    path: str, body: str, said: str | None, answers: dict[str, CaseComparison]
) -> None:
    assert answers[path].label(visit(answers[path], 403, body)) == said
