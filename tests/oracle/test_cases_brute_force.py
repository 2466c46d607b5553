"""Whatever the route: a case says what an independent reading of the rules says."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.documents.manifest import At
from meshproof.oracle.derive import Call, derive
from meshproof.rules.model import Match, Route, RouteTable, RuleSet, StringMatch, Target

HOST = "reviews.default.svc.cluster.local"
HERE = At("random.yaml", 1)


def kinds(values: list[str], regexes: list[str]) -> st.SearchStrategy[StringMatch]:
    plain = st.builds(
        StringMatch, st.sampled_from(["exact", "prefix"]), st.sampled_from(values), st.just(HERE)
    )
    by_regex = st.builds(StringMatch, st.just("regex"), st.sampled_from(regexes), st.just(HERE))
    return plain | by_regex


BELOW = st.builds(
    StringMatch, st.just("path_prefix"), st.sampled_from(["/a", "/ab", "/a/b"]), st.just(HERE)
)
PATHS = kinds(["/", "/a", "/ab", "/a/b"], ["/a.*", "/[ab]", "/(a|b)/?", "/x?y*"]) | BELOW
VALUES = kinds(["1", "b", "bc"], ["b.*", "[a-c]{2}", "(b|c)+", "1|2"])
METHODS = kinds(["GET", "POST", "P"], ["GET|PUT", "P.*"])
PRESENT = st.just(StringMatch("present", "", HERE))


def pairs(*names: str) -> st.SearchStrategy[tuple[tuple[str, StringMatch], ...]]:
    dictionaries = st.dictionaries(st.sampled_from(names), VALUES | PRESENT, max_size=2)
    return dictionaries.map(lambda pairs_by_name: tuple(sorted(pairs_by_name.items())))


MATCHES = st.builds(
    Match,
    at=st.just(HERE),
    uri=st.none() | PATHS,
    ignore_uri_case=st.booleans(),
    method=st.none() | METHODS,
    headers=pairs("x-a", "cookie"),
    without_headers=pairs("x-a", "x-c"),
    query=pairs("q"),
    source=st.sampled_from([(), (("app", "a"),)]),
)
TARGETS = st.builds(
    Target,
    host=st.just(HOST),
    labels=st.sampled_from([(("version", f"v{number}"),) for number in range(1, 4)]),
    weight=st.integers(0, 3),
)
SPLITS = st.lists(TARGETS, min_size=1, max_size=3).filter(
    lambda targets: sum(t.weight for t in targets)
)
ARMS = st.builds(
    Route,
    matches=st.lists(MATCHES, max_size=2).map(tuple),
    split=SPLITS.map(tuple),
    at=st.integers(1, 10_000).map(lambda line: At("random.yaml", line)),
)
ROUTES = st.builds(
    RouteTable,
    hosts=st.just((HOST,)),
    routes=st.lists(ARMS, min_size=1, max_size=4).map(tuple),
    gateways=st.sampled_from([None, ("mesh",)]),
    at=st.just(HERE),
)


def compares(condition: StringMatch, value: str) -> bool:
    """The patterns above mean the same to Python's re and to RE2."""
    if condition.kind == "regex":
        return re.compile(rf"(?:{condition.value})\Z").match(value) is not None
    if condition.kind == "path_prefix":
        elements = condition.value.split("/")
        return value.split("/")[: len(elements)] == elements
    wanted_part = value[: len(condition.value)] if condition.kind == "prefix" else value
    return condition.kind == "present" or wanted_part == condition.value


def takes(match: Match, call: Call) -> bool:
    """Read a match once more, straight down the Istio reference (HTTPMatchRequest)."""
    headers, query = dict(call.headers), dict(call.query)
    parts = [path_fits(match, call.path)]
    parts += [match.method is None or compares(match.method, call.method)]
    parts += [
        name in headers and compares(condition, headers[name]) for name, condition in match.headers
    ]
    parts += [name in query and compares(condition, query[name]) for name, condition in match.query]
    for name, condition in match.without_headers:
        is_met = (
            name in headers
            if condition.kind == "present"
            else compares(condition, headers.get(name, ""))
        )
        parts.append(not is_met)
    parts += [label in call.source for label in match.source]
    return False not in parts


def path_fits(match: Match, path: str) -> bool:
    if match.uri is None:
        return True
    fold = match.ignore_uri_case and match.uri.kind in ("exact", "prefix", "path_prefix")
    value = match.uri.value.lower() if fold else match.uri.value
    return compares(StringMatch(match.uri.kind, value, HERE), path.lower() if fold else path)


def expected(table: RouteTable, call: Call) -> tuple[int, dict[str, float]]:
    for route in table.routes:
        if route.matches == () or True in [takes(match, call) for match in route.matches]:
            total = sum(target.weight for target in route.split)
            shares: dict[str, float] = {}
            for target in route.split:
                shares.setdefault(target.subset, 0)
                shares[target.subset] += target.weight / total
            return 200, {subset: round(share, 9) for subset, share in shares.items()}
    foreign = [
        [label for label in match.source if label not in call.source]
        for route in table.routes
        for match in route.matches
    ]
    # istiod leaves out a rule that has nothing for a caller.
    return (200, {"": 1.0}) if table.gateways is None or all(foreign) else (404, {})


@settings(max_examples=100, deadline=None)
@given(ROUTES)
def test_a_case_says_what_a_second_reading_of_the_rules_says(table: RouteTable) -> None:
    plan = derive(RuleSet(tables=(table,)))
    assert plan.cases
    for case in plan.cases:
        status, shares = expected(table, case.call)
        assert case.status == status, case
        shares_by_subset = {destination.subset: share for destination, share in case.shares}
        assert shares_by_subset.keys() == shares.keys()
        assert all(abs(shares_by_subset[name] - shares[name]) < 1e-9 for name in shares_by_subset)
    assert len({case.call for case in plan.cases}) == len(plan.cases)
    assert len({case.id for case in plan.cases}) == len(plan.cases)


@settings(max_examples=100, deadline=None)
@given(ROUTES)
def test_every_route_is_reached_or_has_a_reason(table: RouteTable) -> None:
    (coverage,) = derive(RuleSet(tables=(table,))).coverage
    routes = {*coverage.reached, *(index for index, _ in coverage.unreached)}
    assert routes == set(range(len(table.routes)))
    assert all(reason for _, reason in coverage.unreached)
