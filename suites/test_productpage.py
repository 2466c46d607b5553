"""The productpage answers 200 and contains its reviews, their stars, and details.

The page also answers 200 when reviews, ratings or details are down, but without them: then this
fails.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor
from meshproof.traffic.bookinfo_page import COMPLETE, describe_page

pytestmark = pytest.mark.promise(
    1, "productpage", "answers 200 with its reviews, stars and details"
)


def test_every_page_is_complete(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage"), by=describe_page, expect={COMPLETE: 100})
    assert verdict.holds, verdict
