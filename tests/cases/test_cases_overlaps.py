"""Arms that overlap: a request that both match shows which of them is first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cases_brute_force import ARMS, HERE, HOST, expected, takes

from meshproof.oracle import overlaps
from meshproof.oracle.derive import Call, Plan, derive
from meshproof.rules.model import Arm, Match, Route, RuleSet, StringMatch, Target

Arms = Callable[[str], Plan]
TO = "route: [{{destination: {{host: reviews, subset: {subset}}}}}]"


def arm(match: str, subset: str) -> str:
    return f"- match: [{match}]\n  {TO.format(subset=subset)}\n"


def first_matches(plan: Plan) -> list[str]:
    return [case.id for case in plan.cases if ", first match" in case.id]


BURR = arm(r"{headers: {cookie: {regex: '^(.*?;\s*)?user=burr(;.*)?$'}}}", "v3")
BETA = arm(r"{headers: {cookie: {regex: '^(.*?;\s*)?group=beta(;.*)?$'}}}", "v2")
#: Two arms, and the request that shows that the first one is first.
PAIRS = {
    "two cookies": (
        BURR + BETA,
        "reviews: cookie user=burr; group=beta, first match -> v3",
    ),
    "a header and a path": (
        arm("{headers: {x-a: {exact: b}}}", "v3") + arm("{uri: {prefix: /api}}", "v2"),
        "reviews: x-a b and path /api, first match -> v3",
    ),
    "a method and a query": (
        arm("{method: {exact: POST}}", "v3") + arm("{queryParams: {q: {exact: '1'}}}", "v2"),
        "reviews: method POST and query q=1, first match -> v3",
    ),
    "a prefix and an end": (
        arm("{uri: {prefix: /api}}", "v3") + arm("{uri: {regex: '/.*[.]json'}}", "v2"),
        "reviews: path /api/.json, first match -> v3",
    ),
    "labels of the caller": (
        arm("{sourceLabels: {app: a}}", "v3") + arm("{sourceLabels: {tier: b}}", "v2"),
        "reviews: from app=a and from tier=b, first match -> v3",
    ),
    "the second of two matches": (
        arm("{uri: {exact: /x}}, {headers: {x-a: {exact: b}}}", "v3")
        + arm("{headers: {x-c: {exact: d}}}", "v2"),
        "reviews: x-a b and x-c d, first match -> v3",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_request_that_both_arms_match_goes_to_the_first(arms: Arms, name: str) -> None:
    text, case = PAIRS[name]
    found = arms(text)
    assert case in first_matches(found)
    (one,) = (one for one in found.cases if one.id == case)
    assert one.arm == 0
    assert "matches it too, but is later) goes to v3" in one.title
    assert one.at == found.coverage[0].route.arms[0].matches[-1].at


#: Two arms of which no request can show the order, or an ordinary case shows it already.
QUIET = {
    "nothing is taken by both": arm("{uri: {exact: /a}}", "v3") + arm("{uri: {exact: /b}}", "v2"),
    "both say the same": arm("{uri: {prefix: /a}}", "v3")
    + arm("{headers: {x-a: {exact: b}}}", "v3"),
    "a case is such a request": arm("{uri: {prefix: /ab}}", "v3")
    + arm("{uri: {prefix: /a}}", "v2"),
    "the default comes last": BURR + f"- {TO.format(subset='v1')}\n",
}


@pytest.mark.parametrize("name", QUIET)
def test_no_case_where_none_is_needed(arms: Arms, name: str) -> None:
    found = arms(QUIET[name])
    assert found.cases
    assert first_matches(found) == []


def test_arms_that_an_earlier_one_hides_have_no_order_among_themselves(arms: Arms) -> None:
    everything = arm("{uri: {prefix: /}}", "v1")
    assert first_matches(arms(everything + BURR + BETA)) == [
        "reviews: path / and cookie user=burr, first match -> v1",
        "reviews: path / and cookie group=beta, first match -> v1",
    ]


def test_at_most_so_many_and_the_rest_is_counted(arms: Arms) -> None:
    count = 40
    text = "".join(
        arm(f"{{headers: {{x-{number}: {{exact: a}}}}}}", f"v{1 + number % 2}")
        for number in range(count)
    )
    found = arms(text)
    assert len(first_matches(found)) == overlaps.MOST_CASES
    looked_at = count * (count - 1) // 2 - found.coverage[0].unordered
    assert overlaps.MOST_CASES <= looked_at < 2.5 * overlaps.MOST_CASES


def test_neighbours_come_first(arms: Arms) -> None:
    text = "".join(
        arm(f"{{headers: {{x-{number}: {{exact: a}}}}}}", f"v{1 + number}") for number in range(3)
    )
    assert first_matches(arms(text)) == [
        "reviews: x-0 a and x-1 a, first match -> v1",
        "reviews: x-1 a and x-2 a, first match -> v2",
        "reviews: x-0 a and x-2 a, first match -> v1",
    ]


def requests() -> Iterator[Call]:
    """Yield requests that between them satisfy whatever the brute force's matches ask for."""
    headers = [None, "", "1", "2", "b", "bc", "aa", "bb", "zz"]
    for path, method, a, cookie, c, q, app in itertools.product(
        ("/", "/a", "/ab", "/a/b", "/A", "/b"),
        ("GET", "POST", "PUT"),
        headers,
        (None, "1", "b", "bc", "aa", "2"),
        (None, "1", "b", "zz"),
        (None, "1", "b", "bc", "aa", "2"),
        ((), (("app", "a"),)),
    ):
        call = Call(HOST, path, method, source=app)
        for name, value in (("x-a", a), ("cookie", cookie), ("x-c", c)):
            call = call.with_header(name, value) if value is not None else call
        yield call.with_query("q", q) if q is not None else call


REQUESTS = list(requests())[::7]
LITERAL = ARMS.filter(lambda arm: bool(arm.matches))


def shown(route: Route, calls: list[Call], index: int, match: Match, later: int) -> bool:
    """Say whether a request tells that the match of an arm comes before a later arm."""
    first, second = (
        Route(route.hosts, (route.arms[one],), route.gateways, HERE) for one in (index, later)
    )
    before = route.arms[:index]
    for call in calls:
        if not takes(match, call) or not any(takes(it, call) for it in route.arms[later].matches):
            continue
        hidden = any(takes(it, call) for arm in before for it in arm.matches)
        if not hidden and expected(first, call) != expected(second, call):
            return True
    return False


def unseen(route: Route) -> list[tuple[int, int]]:
    """Return the pairs of arms whose order a request shows, and no case."""
    calls = [case.call for case in derive(RuleSet(routes=(route,))).cases]
    return [
        (index, later)
        for index, match, later in overlaps.pairs(route)
        if shown(route, REQUESTS, index, match, later)
        and not shown(route, calls, index, match, later)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(LITERAL, min_size=2, max_size=2).map(tuple))
def test_what_some_request_shows_a_case_shows(found: tuple[Arm, ...]) -> None:
    """Of two arms. With others before them, a value that all the regexes allow may go unfound."""
    assert unseen(Route((HOST,), found, ("mesh",), HERE)) == []


def test_without_these_cases_an_order_goes_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(header: str, version: str) -> Arm:
        match = Match(HERE, headers=((header, StringMatch("exact", "b", HERE)),))
        return Arm((match,), (Target(HOST, (("version", version),), 100),), HERE)

    route = Route((HOST,), (one("x-a", "v1"), one("cookie", "v2")), ("mesh",), HERE)
    assert unseen(route) == []
    monkeypatch.setattr(overlaps, "MOST_PAIRS", 0)
    assert unseen(route) == [(0, 1)]
