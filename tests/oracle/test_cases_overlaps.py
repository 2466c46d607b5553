"""Routes that overlap: a request that both match shows which of them is first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.oracle import overlaps
from meshproof.oracle.derive import Call, Plan, derive
from meshproof.rules.model import Match, Route, RouteTable, RuleSet, StringMatch, Target
from tests.oracle.test_cases_brute_force import ARMS, HERE, HOST, expected, takes

Routes = Callable[[str], Plan]
TO = "route: [{{destination: {{host: reviews, subset: {subset}}}}}]"


def route(match: str, subset: str) -> str:
    return f"- match: [{match}]\n  {TO.format(subset=subset)}\n"


def first_matches(plan: Plan) -> list[str]:
    return [case.id for case in plan.cases if ", first match" in case.id]


BURR = route(r"{headers: {cookie: {regex: '^(.*?;\s*)?user=burr(;.*)?$'}}}", "v3")
BETA = route(r"{headers: {cookie: {regex: '^(.*?;\s*)?group=beta(;.*)?$'}}}", "v2")
#: Two routes, and the request that shows that the first one is first.
PAIRS = {
    "two cookies": (
        BURR + BETA,
        "reviews: cookie user=burr; group=beta, first match -> v3",
    ),
    "a header and a path": (
        route("{headers: {x-a: {exact: b}}}", "v3") + route("{uri: {prefix: /api}}", "v2"),
        "reviews: x-a b and path /api, first match -> v3",
    ),
    "a method and a query": (
        route("{method: {exact: POST}}", "v3") + route("{queryParams: {q: {exact: '1'}}}", "v2"),
        "reviews: method POST and query q=1, first match -> v3",
    ),
    "a prefix and an end": (
        route("{uri: {prefix: /api}}", "v3") + route("{uri: {regex: '/.*[.]json'}}", "v2"),
        "reviews: path /api/.json, first match -> v3",
    ),
    "labels of the caller": (
        route("{sourceLabels: {app: a}}", "v3") + route("{sourceLabels: {tier: b}}", "v2"),
        "reviews: from app=a and from tier=b, first match -> v3",
    ),
    "the second of two matches": (
        route("{uri: {exact: /x}}, {headers: {x-a: {exact: b}}}", "v3")
        + route("{headers: {x-c: {exact: d}}}", "v2"),
        "reviews: x-a b and x-c d, first match -> v3",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_request_that_both_routes_match_goes_to_the_first(routes: Routes, name: str) -> None:
    text, case = PAIRS[name]
    plan = routes(text)
    assert case in first_matches(plan)
    (overlap_case,) = (overlap_case for overlap_case in plan.cases if overlap_case.id == case)
    assert overlap_case.route_index == 0
    assert "matches it too, but is later) goes to v3" in overlap_case.title
    assert overlap_case.at == plan.coverage[0].table.routes[0].matches[-1].at


#: Two routes of which no request can show the order, or an ordinary case shows it already.
QUIET = {
    "nothing is taken by both": route("{uri: {exact: /a}}", "v3")
    + route("{uri: {exact: /b}}", "v2"),
    "both say the same": route("{uri: {prefix: /a}}", "v3")
    + route("{headers: {x-a: {exact: b}}}", "v3"),
    "a case is such a request": route("{uri: {prefix: /ab}}", "v3")
    + route("{uri: {prefix: /a}}", "v2"),
    "the default comes last": BURR + f"- {TO.format(subset='v1')}\n",
}


@pytest.mark.parametrize("name", QUIET)
def test_no_case_where_none_is_needed(routes: Routes, name: str) -> None:
    plan = routes(QUIET[name])
    assert plan.cases
    assert first_matches(plan) == []


def test_routes_that_an_earlier_one_hides_have_no_order_among_themselves(routes: Routes) -> None:
    everything = route("{uri: {prefix: /}}", "v1")
    assert first_matches(routes(everything + BURR + BETA)) == [
        "reviews: path / and cookie user=burr, first match -> v1",
        "reviews: path / and cookie group=beta, first match -> v1",
    ]


def test_at_most_so_many_and_the_rest_is_counted(routes: Routes) -> None:
    count = 40
    text = "".join(
        route(f"{{headers: {{x-{number}: {{exact: a}}}}}}", f"v{1 + number % 2}")
        for number in range(count)
    )
    plan = routes(text)
    assert len(first_matches(plan)) == overlaps.MAX_CASES
    looked_at = count * (count - 1) // 2 - plan.coverage[0].unchecked_pairs
    assert overlaps.MAX_CASES <= looked_at < 2.5 * overlaps.MAX_CASES


def test_neighbours_come_first(routes: Routes) -> None:
    text = "".join(
        route(f"{{headers: {{x-{number}: {{exact: a}}}}}}", f"v{1 + number}") for number in range(3)
    )
    assert first_matches(routes(text)) == [
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
LITERAL = ARMS.filter(lambda route: bool(route.matches))


def is_order_shown(
    table: RouteTable, calls: list[Call], index: int, match: Match, later: int
) -> bool:
    """Say whether a request tells that the match of a route comes before a later route."""
    first, second = (
        RouteTable(table.hosts, (table.routes[route_index],), table.gateways, HERE)
        for route_index in (index, later)
    )
    before = table.routes[:index]
    for call in calls:
        if not takes(match, call) or not any(
            takes(candidate, call) for candidate in table.routes[later].matches
        ):
            continue
        hidden = any(takes(candidate, call) for route in before for candidate in route.matches)
        if not hidden and expected(first, call) != expected(second, call):
            return True
    return False


def unseen(table: RouteTable) -> list[tuple[int, int]]:
    """Return the pairs of routes whose order a request shows, and no case."""
    calls = [case.call for case in derive(RuleSet(tables=(table,))).cases]
    return [
        (index, later)
        for index, match, later in overlaps.pair_with_later_routes(table)
        if is_order_shown(table, REQUESTS, index, match, later)
        and not is_order_shown(table, calls, index, match, later)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(LITERAL, min_size=2, max_size=2).map(tuple))
def test_what_some_request_shows_a_case_shows(drawn_routes: tuple[Route, ...]) -> None:
    """Of two routes. With others before them, a value that all the regexes allow may go unfound."""
    assert unseen(RouteTable((HOST,), drawn_routes, ("mesh",), HERE)) == []


def test_without_these_cases_an_order_goes_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_route(header: str, version: str) -> Route:
        match = Match(HERE, headers=((header, StringMatch("exact", "b", HERE)),))
        return Route((match,), (Target(HOST, (("version", version),), 100),), HERE)

    table = RouteTable(
        (HOST,), (make_route("x-a", "v1"), make_route("cookie", "v2")), ("mesh",), HERE
    )
    assert unseen(table) == []
    monkeypatch.setattr(overlaps, "MAX_PAIRS", 0)
    assert unseen(table) == [(0, 1)]
