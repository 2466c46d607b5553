"""Every case that follows from the user's own rules is answered as they say.

Rules: --mesh-rules PATH. A request that one destination must answer is sent a few times (Envoy's
choice of an arm is no matter of chance), a split is judged.
"""

from __future__ import annotations

import pytest

from meshproof.cases import Case
from meshproof.clues import words
from meshproof.fixtures.judge import Judge
from meshproof.mesh.echo import SERVED_BY, EchoMesh
from meshproof.traffic import Visit, Visits

pytestmark = pytest.mark.promise(8, "{rule_case.id}", "{rule_case.title}")

VISITS = 5


def test_case(rule_case: Case, rule_mesh: EchoMesh, rule_visits: Visits, judge: Judge) -> None:
    names = rule_mesh.names(rule_case)

    def by(visit: Visit) -> str | None:
        served = visit.headers.get(SERVED_BY)
        return names.get(served, served) if served else None

    if len(rule_case.shares) > 1:
        verdict = judge(rule_visits, expect=rule_mesh.expected(rule_case), by=by)
        assert verdict.holds, verdict
        return
    for visit in rule_visits.take(VISITS):
        assert visit.status == rule_case.status, (
            f"expected {rule_case.status}, got {words(visit)}; see it: {rule_visits.curl}"
        )
        if rule_case.status == 200:
            assert by(visit) in rule_mesh.expected(rule_case), (
                f"expected {', '.join(rule_mesh.expected(rule_case))}, "
                f"{by(visit) or words(visit)} answered; see it: {rule_visits.curl}"
            )
