"""Every case that follows from the user's own rules is answered as they say.

Rules: --mesh-rules PATH. A request that one destination must answer is sent three times: Envoy's
choice of a route is no matter of chance, and every route has several cases. It is sent more often
where another route could give the same answers by chance, and once, ahead of the others, where an
answer takes its time. A split is judged, and so are a mirror that copies a
share and a fault that delays one.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.echo.workloads import TwoAtOnce
from meshproof.oracle.derive import Case
from meshproof.plugin.recorder import NotSupported
from meshproof.traffic.visits import Visits
from meshproof.user_rules.compare import CaseComparison
from meshproof.user_rules.excluded import Excluded

pytestmark = pytest.mark.promise(8, "{rule_case.id}", "{rule_case.title}")


@pytest.mark.promise(8, "{rule_aside.name}", "{rule_aside.title}")
def test_aside(rule_aside: Excluded) -> None:
    """A live object that is beyond meshproof is named, with the reason: nothing is proven of it."""
    raise NotSupported(rule_aside.because)


def test_case(rule_case: Case, rule_mesh: CaseMesh, rule_visits: Visits, judge: Judge) -> None:
    try:
        comparison = CaseComparison.for_case(rule_case, rule_mesh)
    except TwoAtOnce as overlap:
        raise NotSupported(f"a split between parts that overlap: {overlap}") from None
    if sample := comparison.select_sample(rule_visits, rule_mesh):
        label, curl = sample.label or "", rule_visits.curl
        verdict = judge(sample.visits, expect=sample.expected, by=label, curl=curl)
        assert verdict.holds, verdict
    elif fault := comparison.find_fault(rule_visits, rule_mesh):
        raise fault
