"""The cookie user=burr goes to reviews v3; everybody else still sees every version.

Rules: manifests/rules/cookie_burr/ (the same promise in each dialect).
"""

from __future__ import annotations

import pytest

from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor

pytestmark = [
    pytest.mark.needs("header-match"),
    pytest.mark.rules("cookie_burr"),
    pytest.mark.usefixtures("routed"),
]

#: RFC 6265, section 4.2.1: a browser joins its cookies by a semicolon and a space.
BURR_AMONG_COOKIES = ("a=b; user=burr", "user=burr; a=b", "a=b; user=burr; theme=dark")
#: No cookie, another user, and near misses of the name, the value and the case.
OTHER_COOKIES = ("", "user=jason", "user=burrito", "xuser=burr", "user=Burr", "a=user=burr")


@pytest.mark.promise(4, "cookie user=burr", "burr alone goes to v3")
def test_burr_goes_to_v3(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage", {"Cookie": "user=burr"}), by="reviews", expect={"v3": 1})
    assert verdict.holds, verdict


@pytest.mark.promise(4, "cookie among others", "burr goes to v3 as a browser sends it")
def test_burr_among_other_cookies_goes_to_v3(visit: Visitor, judge: Judge) -> None:
    visits = visit("/productpage", *({"Cookie": cookie} for cookie in BURR_AMONG_COOKIES))
    verdict = judge(visits, by="reviews", expect={"v3": 1})
    assert verdict.holds, verdict


@pytest.mark.promise(4, "cookie: others stay", "who is not burr still sees every version")
@pytest.mark.checks(len(OTHER_COOKIES))
def test_others_are_not_moved(visit: Visitor, judge: Judge) -> None:
    """With no cookie, or one that is nearly burr's, v1, v2 and v3 all still answer."""
    for cookie in OTHER_COOKIES:
        visits = visit("/productpage", {"Cookie": cookie} if cookie else {})
        verdict = judge(
            visits, by="reviews", expect=["v1", "v2", "v3"], name=f"Cookie: {cookie or '(none)'}"
        )
        assert verdict.holds, verdict
