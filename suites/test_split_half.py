"""A 50/50 weight sends half of the visits to each version of orders.

Rules: manifests/rules/split_half/ (the same promise in each dialect). v2 is the changed build: the
total of its orders is 1000.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor

pytestmark = [
    pytest.mark.promise(5, "split half", "orders v1 and v2 get half each"),
    pytest.mark.needs("http-weights"),
    pytest.mark.rules("split_half"),
    pytest.mark.usefixtures("routed"),
]


def test_each_version_gets_half(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/orders"), by="orders", expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict
