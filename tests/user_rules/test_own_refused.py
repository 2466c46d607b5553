"""An answer that a policy of the mesh gives decides no case of a rule: it is never green."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.mesh.protocol import Address
from meshproof.traffic.visits import Visits
from meshproof.user_rules import loading
from meshproof.user_rules.compare import CaseComparison
from meshproof.user_rules.loading import UserRules

if TYPE_CHECKING:
    from meshproof.mesh.echo.case_mesh import CaseMesh

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
def user_rules(tmp_path_factory: pytest.TempPathFactory) -> UserRules:
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(RULES)
    return loading.load([str(file)])


@pytest.fixture(scope="module")
def comparisons(user_rules: UserRules) -> dict[str, CaseComparison]:
    """Path -> the comparison for the case of that path."""
    workloads = user_rules.workloads
    return {
        case.call.path: CaseComparison(
            case, workloads.map_destinations(case), workloads.expected_shares(case)
        )
        for case in reversed(user_rules.plan.cases)
    }


def make_response(comparison: CaseComparison, status: int, body: str) -> HttpResponse:
    path = comparison.case.call.path
    return HttpResponse(HttpRequest(path), status, {}, body.encode())


@pytest.mark.parametrize("path", ["/aborted", "/denied", "/meshproof-other"])
def test_a_refusal_by_a_policy_is_inconclusive(
    path: str, comparisons: dict[str, CaseComparison]
) -> None:
    with pytest.raises(Inconclusive, match="AuthorizationPolicy of the mesh refuses the caller"):
        comparisons[path].label(make_response(comparisons[path], 403, REFUSAL))


class AnsweredVisits(Visits):
    """Visits that all get the same response."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(Address("127.0.0.1", 1), [response.request], "run")
        self._response = response

    def take(self, count: int) -> list[HttpResponse]:
        return [self._response] * count


def test_the_words_of_a_response_are_no_difference(
    user_rules: UserRules, comparisons: dict[str, CaseComparison]
) -> None:
    comparison = comparisons["/meshproof-other"]
    visits = AnsweredVisits(make_response(comparison, 404, "sorry, but no"))
    mesh = cast("CaseMesh", SimpleNamespace(workloads=user_rules.workloads, sender=str))
    fault = comparison.find_fault(visits, mesh)
    assert fault is not None
    assert fault.summary == 'HTTP 404, "sorry, but no" answered'


def test_a_rule_that_expects_the_same_response_is_kept(
    comparisons: dict[str, CaseComparison],
) -> None:
    comparison = comparisons["/same"]
    label = comparison.label(make_response(comparison, 403, REFUSAL))
    assert label in comparison.expected_shares


@pytest.mark.parametrize(
    ("path", "body", "label"),
    [
        ("/aborted", "fault filter abort", "HTTP 403"),
        ("/denied", "ask", "HTTP 403, but with 'ask', not 'ask the shop'"),
        ("/meshproof-other", "no", None),
    ],
)
def test_any_other_403_is_labelled(
    path: str, body: str, label: str | None, comparisons: dict[str, CaseComparison]
) -> None:
    assert comparisons[path].label(make_response(comparisons[path], 403, body)) == label
