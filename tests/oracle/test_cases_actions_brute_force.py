"""Whatever a route does: what a case expects is what a second reading of the rules expects."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.documents.manifest import At
from meshproof.oracle.derive import Case, derive
from meshproof.rules.actions import (
    DirectResponse,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Rewrite,
)
from meshproof.rules.model import Match, Route, RouteTable, RuleSet, StringMatch, Target

HOST = "reviews.default.svc.cluster.local"
HERE = At("random.yaml", 1)
NAMES = ("x-a", "x-b", "x-c")


def where(kind: str, value: str) -> Match:
    assert kind in ("exact", "prefix", "path_prefix", "regex")
    return Match(HERE, StringMatch(kind, value, HERE))  # type: ignore[arg-type]  # checked above


MATCHES = st.sampled_from(
    [
        where("exact", "/a"),
        where("prefix", "/a/"),
        where("prefix", "/b"),
        where("path_prefix", "/b/c"),
        where("regex", "/c+"),
        Match(HERE, query=(("q", StringMatch("exact", "1", HERE)),)),
        Match(HERE, headers=(("x-a", StringMatch("exact", "1", HERE)),)),
    ]
)
REDIRECTS = st.builds(
    Redirect,
    code=st.sampled_from([301, 302, 307]),
    uri=st.sampled_from(["", "/new"]),
    authority=st.sampled_from(["", "other.example"]),
    scheme=st.sampled_from(["", "http", "https"]),
    port=st.sampled_from([None, 80, 443, 8080]),
)
REWRITES = st.builds(
    Rewrite, uri=st.sampled_from(["", "/", "/new"]), authority=st.sampled_from(["", "o.example"])
)


@st.composite
def changes(draw: st.DrawFn) -> HeaderChanges:
    names = draw(st.permutations(NAMES))
    return HeaderChanges(((names[0], "s"),), ((names[1], "a"),), (names[2],))


ONWARDS = st.builds(
    Route,
    matches=MATCHES.map(lambda match: (match,)),
    split=st.just((Target(HOST, (("version", "v1"),), 100),)),
    at=st.just(HERE),
    rewrite=st.none() | REWRITES,
    headers=st.builds(Headers, changes(), changes()),
    fault=st.none()
    | st.builds(
        Fault,
        delay_seconds=st.sampled_from([0.0, 0.5]),
        delay_percent=st.sampled_from([0.0, 100.0]),
        abort_status=st.sampled_from([0, 503]),
        abort_percent=st.sampled_from([0.0, 25.0, 100.0]),
    ),
)
ANSWERED = st.builds(
    Route,
    matches=MATCHES.map(lambda match: (match,)),
    split=st.just(()),
    at=st.just(HERE),
    redirect=REDIRECTS,
) | st.builds(
    Route,
    matches=MATCHES.map(lambda match: (match,)),
    split=st.just(()),
    at=st.just(HERE),
    direct_response=st.builds(
        DirectResponse, st.sampled_from([200, 404, 503]), st.sampled_from(["", "a"])
    ),
)


def cases(route: Route) -> list[Case]:
    table = RouteTable((HOST,), (route,), ("mesh",), HERE)
    route_cases = [case for case in derive(RuleSet(tables=(table,))).cases if case.route_index == 0]
    assert route_cases
    return route_cases


@settings(max_examples=150, deadline=None)
@given(ANSWERED)
def test_an_route_that_answers_itself(route: Route) -> None:
    for case in cases(route):
        reply = case.answer.proxy_reply
        assert reply is not None
        assert (case.shares, case.answer.proxy_reply_share, case.answer.arrivals) == ((), 1.0, ())
        if route.direct_response is not None:
            assert (reply.status, reply.body) == (
                route.direct_response.status,
                route.direct_response.body,
            )
            continue
        redirect = route.redirect
        assert redirect is not None
        url = urlsplit(reply.location)
        assert reply.status == redirect.code
        assert url.scheme == (redirect.scheme or "http")
        assert url.hostname == (redirect.authority or case.call.host_header.partition(":")[0])
        implied = {"http": 80, "https": 443}[url.scheme]
        assert (url.port or implied) == (redirect.port or implied)
        assert url.path == (redirect.uri or case.call.path)
        assert url.query == "&".join(f"{name}={value}" for name, value in case.call.query)


@settings(max_examples=150, deadline=None)
@given(ONWARDS)
def test_an_route_that_sends_on(route: Route) -> None:
    fault = route.fault or Fault()
    aborted = fault.abort_percent / 100 if fault.abort_status else 0.0
    for case in cases(route):
        assert sum(share for _, share in case.shares) == 1 - aborted
        assert case.answer.proxy_reply_share == aborted
        assert case.answer.min_seconds == (fault.delay_seconds if fault.delay_percent else 0)
        assert len(case.answer.arrivals) == len(case.shares) == (aborted < 1)
        for arrival in case.answer.arrivals:
            path, _, query = arrival.path.partition("?")
            assert query == "&".join(f"{name}={value}" for name, value in case.call.query)
            assert path == path_after(route, case)
            authority = route.rewrite.authority if route.rewrite else ""
            assert arrival.authority == (authority or case.call.host_header)
            check_headers(
                route, case, dict(arrival.request_headers), dict(arrival.response_headers)
            )


def path_after(route: Route, case: Case) -> str:
    """Say it once more, straight down the reference: the prefix is replaced, or the whole path."""
    uri, path = route.matches[0].uri, case.call.path
    if route.rewrite is None or not route.rewrite.uri:
        return path
    if uri is None:
        return path.replace("/", route.rewrite.uri, 1)
    if uri.kind == "path_prefix":
        elements = [*route.rewrite.uri.split("/"), *path.split("/")[len(uri.value.split("/")) :]]
        # No element is lost, and none is empty but the last one.
        return "/".join(["", *filter(None, elements[:-1]), elements[-1]])
    return (
        path.replace(uri.value, route.rewrite.uri, 1) if uri.kind == "prefix" else route.rewrite.uri
    )


def check_headers(
    route: Route, case: Case, request: dict[str, str | None], response: dict[str, str | None]
) -> None:
    sent = dict(case.call.headers)
    ((set_name, _),), ((add_name, _),) = route.headers.request.set, route.headers.request.add
    (gone,) = route.headers.request.remove
    assert request == {set_name: "s", add_name: sent.get(add_name, "a"), gone: None}
    ((set_name, _),), ((add_name, _),) = route.headers.response.set, route.headers.response.add
    (gone,) = route.headers.response.remove
    before = sent.get(f"x-meshproof-answers-{add_name}")
    added = f"{before}, a" if before else "a"
    assert response == {set_name: "s", add_name: added, gone: None}
