"""Every case of the user's own rules gets the response that the rules say.

Rules: --mesh-rules PATH. A case with one destination is sent three times: Envoy chooses a route
without chance, and every route has several cases. It is sent more often where another route could
give the same responses by chance. A slow response is asked for once, ahead of the other cases.
A split is judged; so are a mirror that copies a share, and a fault that delays a share.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.echo.workloads import OverlappingShares
from meshproof.oracle.derive import Case
from meshproof.plugin.recorder import NotSupported
from meshproof.run.failure import BrokenPromise
from meshproof.traffic.visits import Visits
from meshproof.user_rules.compare import CaseComparison
from meshproof.user_rules.excluded import Excluded
from meshproof.user_rules.linting import LintError

pytestmark = pytest.mark.promise(8, "{rule_case.id}", "{rule_case.title}")


@pytest.mark.promise(8, "{rule_finding.name}", "{rule_finding.title}")
def test_lint(rule_finding: LintError) -> None:
    """Report an error that lint has found: the rule is refused, or makes requests fail."""
    raise BrokenPromise(rule_finding.cause.what, cause=rule_finding.cause)


@pytest.mark.promise(8, "{rule_aside.name}", "{rule_aside.title}")
def test_aside(rule_aside: Excluded) -> None:
    """Report an object that is not checked: as failed if it is wrong, else as not supported."""
    if rule_aside.is_failed:
        raise BrokenPromise(
            rule_aside.because,
            "a rule that can be read",
            str(rule_aside.at),
            cause=rule_aside.lint_cause,
        )
    raise NotSupported(rule_aside.because, exit_code=rule_aside.exit_code)


def test_case(rule_case: Case, rule_mesh: CaseMesh, rule_visits: Visits, judge: Judge) -> None:
    try:
        comparison = CaseComparison.for_case(rule_case, rule_mesh)
    except OverlappingShares as overlap:
        raise NotSupported(f"a split between parts that overlap: {overlap}") from None
    if fault := comparison.find_dead_end(rule_visits, rule_mesh):
        raise fault
    if sample := comparison.select_sample(rule_visits, rule_mesh):
        label, curl = sample.label or "", rule_visits.curl
        is_close = not rule_case.repeats_split
        verdict = judge(
            sample.visits, expect=sample.expected, by=label, curl=curl, follows_weights=is_close
        )
        assert verdict.holds, verdict
    elif fault := comparison.find_fault(rule_visits, rule_mesh):
        raise fault
