"""Whatever an arm does: what a case expects is what a second reading of the rules expects."""

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
from meshproof.rules.model import Arm, Match, Route, RuleSet, StringMatch, Target

HOST = "reviews.default.svc.cluster.local"
HERE = At("random.yaml", 1)
NAMES = ("x-a", "x-b", "x-c")


def where(kind: str, value: str) -> Match:
    assert kind in ("exact", "prefix", "below", "regex")
    return Match(HERE, StringMatch(kind, value, HERE))  # type: ignore[arg-type]  # checked above


MATCHES = st.sampled_from(
    [
        where("exact", "/a"),
        where("prefix", "/a/"),
        where("prefix", "/b"),
        where("below", "/b/c"),
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
    Arm,
    matches=MATCHES.map(lambda one: (one,)),
    split=st.just((Target(HOST, (("version", "v1"),), 100),)),
    at=st.just(HERE),
    rewrite=st.none() | REWRITES,
    headers=st.builds(Headers, changes(), changes()),
    fault=st.none()
    | st.builds(
        Fault,
        delay=st.sampled_from([0.0, 0.5]),
        delayed=st.sampled_from([0.0, 100.0]),
        status=st.sampled_from([0, 503]),
        aborted=st.sampled_from([0.0, 25.0, 100.0]),
    ),
)
ANSWERED = st.builds(
    Arm,
    matches=MATCHES.map(lambda one: (one,)),
    split=st.just(()),
    at=st.just(HERE),
    redirect=REDIRECTS,
) | st.builds(
    Arm,
    matches=MATCHES.map(lambda one: (one,)),
    split=st.just(()),
    at=st.just(HERE),
    direct=st.builds(DirectResponse, st.sampled_from([200, 404, 503]), st.sampled_from(["", "a"])),
)


def cases(arm: Arm) -> list[Case]:
    route = Route((HOST,), (arm,), ("mesh",), HERE)
    found = [case for case in derive(RuleSet(routes=(route,))).cases if case.arm == 0]
    assert found
    return found


@settings(max_examples=150, deadline=None)
@given(ANSWERED)
def test_an_arm_that_answers_itself(arm: Arm) -> None:
    for case in cases(arm):
        reply = case.answer.reply
        assert reply is not None
        assert (case.shares, case.answer.replied, case.answer.arrivals) == ((), 1.0, ())
        if arm.direct is not None:
            assert (reply.status, reply.body) == (arm.direct.status, arm.direct.body)
            continue
        redirect = arm.redirect
        assert redirect is not None
        url = urlsplit(reply.location)
        assert reply.status == redirect.code
        assert url.scheme == (redirect.scheme or "http")
        assert url.hostname == (redirect.authority or HOST)
        implied = {"http": 80, "https": 443}[url.scheme]
        assert (url.port or implied) == (redirect.port or implied)
        assert url.path == (redirect.uri or case.call.path)
        assert url.query == "&".join(f"{name}={value}" for name, value in case.call.query)


@settings(max_examples=150, deadline=None)
@given(ONWARDS)
def test_an_arm_that_sends_on(arm: Arm) -> None:
    fault = arm.fault or Fault()
    aborted = fault.aborted / 100 if fault.status else 0.0
    for case in cases(arm):
        assert sum(share for _, share in case.shares) == 1 - aborted
        assert case.answer.replied == aborted
        assert case.answer.least == (fault.delay if fault.delayed else 0)
        assert len(case.answer.arrivals) == len(case.shares) == (aborted < 1)
        for arrival in case.answer.arrivals:
            path, _, query = arrival.path.partition("?")
            assert query == "&".join(f"{name}={value}" for name, value in case.call.query)
            assert path == path_after(arm, case)
            authority = arm.rewrite.authority if arm.rewrite else ""
            assert arrival.authority == (authority or case.call.sent_to)
            check_headers(arm, case, dict(arrival.request), dict(arrival.response))


def path_after(arm: Arm, case: Case) -> str:
    """Say it once more, straight down the reference: the prefix is replaced, or the whole path."""
    uri, path = arm.matches[0].uri, case.call.path
    if arm.rewrite is None or not arm.rewrite.uri:
        return path
    if uri is None:
        return path.replace("/", arm.rewrite.uri, 1)
    if uri.kind == "below":
        rest = [*arm.rewrite.uri.split("/"), *path.split("/")[len(uri.value.split("/")) :]]
        # No element is lost, and none is empty but the last one.
        return "/".join(["", *filter(None, rest[:-1]), rest[-1]])
    return path.replace(uri.value, arm.rewrite.uri, 1) if uri.kind == "prefix" else arm.rewrite.uri


def check_headers(
    arm: Arm, case: Case, request: dict[str, str | None], response: dict[str, str | None]
) -> None:
    sent = dict(case.call.headers)
    ((set_name, _),), ((add_name, _),) = arm.headers.request.set, arm.headers.request.add
    (gone,) = arm.headers.request.remove
    assert request == {set_name: "s", add_name: sent.get(add_name, "a"), gone: None}
    ((set_name, _),), ((add_name, _),) = arm.headers.response.set, arm.headers.response.add
    (gone,) = arm.headers.response.remove
    before = sent.get(f"x-meshproof-answers-{add_name}")
    added = f"{before}, a" if before else "a"
    assert response == {set_name: "s", add_name: added, gone: None}
