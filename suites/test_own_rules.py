"""Every case that follows from the user's own rules is answered as they say.

Rules: --mesh-rules PATH. A request that one destination must answer is sent three times: Envoy's
choice of an arm is no matter of chance, and every arm has several cases. A split is judged.
"""

from __future__ import annotations

import pytest

from meshproof.cases import Case
from meshproof.clues import words
from meshproof.fixtures.judge import Judge
from meshproof.mesh.echo import SERVED_BY, EchoMesh, TwoAtOnce
from meshproof.own import VISITS
from meshproof.recorder import NotSupported
from meshproof.traffic import Visit, Visits

pytestmark = pytest.mark.promise(8, "{rule_case.id}", "{rule_case.title}")


def test_case(rule_case: Case, rule_mesh: EchoMesh, rule_visits: Visits, judge: Judge) -> None:
    try:
        names, expected = rule_mesh.names(rule_case), rule_mesh.expected(rule_case)
    except TwoAtOnce as overlap:
        raise NotSupported(f"a split between parts that overlap: {overlap}") from None

    def by(visit: Visit) -> str | None:
        served = visit.headers.get(SERVED_BY)
        return names.get(served, served) if served else None

    if rule_case.split:
        verdict = judge(rule_visits, expect=expected, by=by)
        assert verdict.holds, verdict
        return
    for visit in rule_visits.take(VISITS):
        if visit.status != rule_case.status or by(visit) not in (expected or (None,)):
            wanted = next(iter(expected), f"HTTP {rule_case.status} and nobody")
            raise AssertionError(  # not `assert`: pytest would indent the parts
                f"{by(visit) or words(visit)} answered\n"
                f"expected: {wanted} answers, each of {VISITS} requests\n"
                f"observed: {words(visit)}\n"
                f"see it: {rule_visits.curl}"
            )
