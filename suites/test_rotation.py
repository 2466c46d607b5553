"""Without a rule, reviews v1, v2 and v3 are all seen, and nothing else."""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor

pytestmark = pytest.mark.promise(2, "default rotation", "without a rule every version is seen")


def test_every_version_is_seen(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage"), by="reviews", expect=["v1", "v2", "v3"])
    assert verdict.holds, verdict
