"""With all weight on v3, no other version of reviews answers.

Rules: manifests/rules/v3_only/ (the same promise in each dialect).
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor

pytestmark = [
    pytest.mark.promise(3, "v3 only", "reviews-default sends everything to v3"),
    pytest.mark.needs("http-weights"),
    pytest.mark.rules("v3_only"),
    pytest.mark.usefixtures("routed"),
]


def test_only_v3_answers(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage"), by="reviews", expect={"v3": 100})
    assert verdict.holds, verdict
