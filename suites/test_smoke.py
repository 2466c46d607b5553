"""The nightly check of a cluster (`meshproof smoke`): one rule with a cookie and a split holds.

Rules: manifests/rules/smoke/, applied with the apps, once for the whole run.
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.needs("http-weights", "header-match"),
    pytest.mark.usefixtures("smoke_rules"),
]


@pytest.mark.promise(4, "smoke: cookie user=burr", "burr goes to reviews v3 alone")
def test_burr_goes_to_v3(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage", {"Cookie": "user=burr"}), by="reviews", expect={"v3": 1})
    assert verdict.holds, verdict


@pytest.mark.promise(5, "smoke: split half", "everybody else sees reviews v1 and v2, half each")
def test_others_are_split(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage"), by="reviews", expect={"v1": 50, "v2": 50})
    assert verdict.holds, verdict
