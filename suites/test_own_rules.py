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
from meshproof.user_rules.loading import COPY_BATCH

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
    if rule_case.needs_judge and rule_case.answer.mirrors:
        copies = comparison.read_copy_labels(rule_visits, rule_mesh, COPY_BATCH)
        verdict = judge(copies, expect=comparison.expected_copies, curl=rule_visits.curl)
        assert verdict.holds, verdict
    elif rule_case.answer.delayed_share:
        verdict = judge(rule_visits, expect=comparison.expected_delays, by=comparison.delay)
        assert verdict.holds, verdict
    elif rule_case.needs_judge:
        verdict = judge(rule_visits, expect=comparison.expected_shares, by=comparison.label)
        assert verdict.holds, verdict
    else:
        often = rule_mesh.workloads.visits(rule_case)
        found = rule_visits.take(often)
        while comparison.needs_more_visits(found):
            found += rule_visits.take(often)
        if wrong := comparison.describe_fault(found, rule_mesh):
            raise AssertionError(f"{wrong}\nsee it: {rule_visits.curl}")  # pytest would indent it
