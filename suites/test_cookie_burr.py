"""The cookie user=burr goes to reviews v3; everybody else still sees every version as often.

Rules: manifests/rules/cookie_burr/ (the same promise in each dialect).
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.fixtures.judge import Judge
from meshproof.fixtures.visit import Visitor
from meshproof.plugin import settings
from meshproof.traffic.failure_analysis import describe_response
from meshproof.verdict import Baseline, count_baseline_answers

pytestmark = [
    pytest.mark.needs("header-match"),
    pytest.mark.rules("cookie_burr"),
    pytest.mark.usefixtures("routed"),
]

#: RFC 6265, section 4.2.1: a browser joins its cookies by a semicolon and a space.
BURR_AMONG_COOKIES = ("a=b; user=burr", "user=burr; a=b", "a=b; user=burr; theme=dark")
#: No cookie, another user, and near misses of the name, the value and the case.
OTHER_COOKIES = ("", "user=jason", "user=burrito", "xuser=burr", "user=Burr", "a=user=burr")
OTHER_HEADERS = tuple({"Cookie": cookie} if cookie else {} for cookie in OTHER_COOKIES)
VERSIONS = ("v1", "v2", "v3")


@pytest.mark.promise(4, "cookie user=burr", "burr alone goes to v3")
def test_burr_goes_to_v3(visit: Visitor, judge: Judge) -> None:
    verdict = judge(visit("/productpage", {"Cookie": "user=burr"}), by="reviews", expect={"v3": 1})
    assert verdict.holds, verdict


@pytest.mark.promise(4, "cookie among others", "burr goes to v3 as a browser sends it")
def test_burr_among_other_cookies_goes_to_v3(visit: Visitor, judge: Judge) -> None:
    visits = visit("/productpage", *({"Cookie": cookie} for cookie in BURR_AMONG_COOKIES))
    verdict = judge(visits, by="reviews", expect={"v3": 1})
    assert verdict.holds, verdict


@pytest.fixture(scope="session")
def known_baselines() -> list[Baseline]:
    """The run's one baseline, the versions that others get without a rule; empty until counted.

    VirtualService and RouteRule are tested in turn and share it.
    """
    return []


@pytest.fixture
def baseline(
    request: pytest.FixtureRequest, visit: Visitor, known_baselines: list[Baseline]
) -> Baseline:
    """Count which versions the others get without the rule; sent before the rule is served."""
    if not known_baselines:
        beta = settings.build_judge_settings(request.config, {}).beta
        count = count_baseline_answers(beta)
        visits = visit("/productpage", *OTHER_HEADERS)
        labels = visits.label_by_app("reviews")
        named = (label for label in itertools.islice(labels, 2 * count) if label)
        seen = Counter(itertools.islice(named, count))
        labels.close()
        if seen.total() < count:
            raise Inconclusive(
                "without the rule most answers to the others name no version of reviews, so that "
                f"there is nothing to compare with: {seen.total()} of {2 * count} do",
                observed=describe_response(visits.take(1)[0]),
            )
        known_baselines.append(Baseline({**dict.fromkeys(VERSIONS, 0), **seen}))
    return known_baselines[0]


@pytest.mark.promise(4, "cookie: others stay", "who is not burr still sees every version as often")
@pytest.mark.checks(len(OTHER_COOKIES) + 1)
@pytest.mark.usefixtures("baseline", "routed")
def test_others_are_not_moved(visit: Visitor, judge: Judge, baseline: Baseline) -> None:
    """With no cookie, or one that is nearly burr's, v1, v2 and v3 all still answer, as before."""
    labels_by_cookie = []
    for cookie, headers in zip(OTHER_COOKIES, OTHER_HEADERS, strict=True):
        visits = visit("/productpage", headers)
        name = f"Cookie: {cookie or '(none)'}"
        verdict = judge(visits, by="reviews", expect=VERSIONS, name=name)
        assert verdict.holds, verdict
        labels_by_cookie.append(verdict.labels)
    in_turn = itertools.chain.from_iterable(zip(*labels_by_cookie, strict=False))
    visits = visit("/productpage", *OTHER_HEADERS)  # sent only if the answers so far are too few
    answers = itertools.chain(in_turn, visits.label_by_app("reviews"))
    name = "all of them, as often as without the rule"
    verdict = judge(answers, expect=baseline, name=name, curl=visits.curl)
    assert verdict.holds, verdict
