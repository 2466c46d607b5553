"""The productpage answers 200 and contains its reviews and details.

The page also answers 200 when reviews or details are down, but without them: then this fails.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.http import HttpResponse
from meshproof.traffic.failure_analysis import describe_response

pytestmark = pytest.mark.promise(1, "productpage", "answers 200 with its reviews and details")

COMPLETE = "complete page"
PARTS = {
    "details": ("Book Details", "Error fetching product details!"),
    "reviews": ("Book Reviews", "Error fetching product reviews!"),
}


def page(visit: HttpResponse) -> str:
    """Return COMPLETE, or the fault of the page."""
    if visit.status != 200:
        return describe_response(visit)
    for part, (heading, error) in PARTS.items():
        if error in visit.text or heading not in visit.text:
            return f"HTTP 200 without {part}"
    return COMPLETE


def test_every_page_is_complete(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage"), by=page, expect={COMPLETE: 100})
    assert verdict.holds, verdict
