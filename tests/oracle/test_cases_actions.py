"""Actions give cases of their own, and say what each answer must be beside who gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.documents.manifest import At
from meshproof.oracle.actions import DELAY_HEADER, FAILURE_HEADER, RESPONSE_HEADER_PREFIX
from meshproof.oracle.conditions import UNMATCHED_VALUE
from meshproof.oracle.derive import Case, Plan, derive
from meshproof.rules.actions import Retries
from meshproof.rules.model import Route, RouteTable, RuleSet, Target

Routes = Callable[[str], Plan]
HOST = "reviews.default.svc.cluster.local"
ROUTE = "  route: [{destination: {host: reviews, subset: v1}}]\n"
SPLIT = (
    "  route: [{destination: {host: reviews, subset: v1}, weight: 50},\n"
    "          {destination: {host: reviews, subset: v2}, weight: 50}]\n"
)


@pytest.fixture
def of(routes: Routes) -> Callable[..., dict[str, Case]]:
    """Return the cases of the route for /a with some actions, by their ids without the service."""

    def cases(
        actions: str, table: str = ROUTE, match: str = "uri: {prefix: /a}"
    ) -> dict[str, Case]:
        plan = routes(f"- match: [{{{match}}}]\n  {actions}\n{table}")
        cases_by_id = {case.id.removeprefix("reviews: "): case for case in plan.cases}
        return {name: case for name, case in cases_by_id.items() if case.route_index is not None}

    return cases


Of = Callable[..., dict[str, Case]]

REDIRECTS = {
    "{uri: /b}": ("301 to /b", f"http://{HOST}/b"),
    "{authority: b, redirectCode: 308}": ("308 to http://b/a", "http://b/a"),
    "{scheme: https}": (f"301 to https://{HOST}/a", f"https://{HOST}/a"),
    "{scheme: https, port: 443}": ("", f"https://{HOST}/a"),
    "{port: 8080, uri: /b}": ("301 to /b", f"http://{HOST}:8080/b"),
    "{derivePort: FROM_REQUEST_PORT, uri: /b}": ("301 to /b", f"http://{HOST}/b"),
    "{scheme: https, derivePort: FROM_REQUEST_PORT}": ("", f"https://{HOST}:80/a"),
}


@pytest.mark.parametrize(("text", "expected"), REDIRECTS.items(), ids=REDIRECTS)
def test_redirect(of: Of, text: str, expected: tuple[str, str]) -> None:
    summary, location = expected
    name, case = next(iter(of(f"redirect: {text}", "").items()))
    assert name.startswith("path /a -> 30")
    assert name.endswith(summary)
    assert case.answer.proxy_reply is not None
    assert (case.answer.proxy_reply.location, case.shares) == (location, ())
    assert (case.status, case.answer.proxy_reply_share, case.needs_judge) == (
        case.answer.proxy_reply.status,
        1.0,
        False,
    )


def test_a_redirect_keeps_the_query(of: Of) -> None:
    case, *_ = of("redirect: {uri: /b}", "", "queryParams: {q: {exact: '1'}}").values()
    assert case.answer.proxy_reply is not None
    assert case.answer.proxy_reply.location == f"http://{HOST}/b?q=1"


def test_a_query_is_asked_for_where_no_condition_does(of: Of) -> None:
    case = of("redirect: {uri: /b}", "")["path /a, with a query -> 301 to /b"]
    assert case.answer.proxy_reply is not None
    assert case.answer.proxy_reply.location == f"http://{HOST}/b?meshproof-other=1"


def test_a_regex_rewrite_is_asked_for_by_paths_that_its_pattern_takes(of: Of) -> None:
    rewrite = r"{uriRegexRewrite: {match: '^/a/([a-z]+)/([a-z]+)', rewrite: '/\2/\1'}}"
    cases = of(f"rewrite: {rewrite}", match="uri: {prefix: /a/}").values()
    taken = [case for case in cases if "which its pattern takes" in case.id]
    arrivals = {case.call.path: case.answer.arrivals[0].path for case in taken}
    swapped = [path for path in arrivals if path.count("/") == 3]
    assert len(swapped) >= 3
    first = next(path.split("/")[2:] for path in swapped)
    assert first[0] != first[1]
    assert all(arrivals[path] != path for path in swapped)


def test_a_regex_rewrite_is_asked_for_by_paths_that_its_pattern_just_misses(of: Of) -> None:
    rewrite = r"{uriRegexRewrite: {match: '^/a/([a-z]+)/([0-9]+)', rewrite: '/\2/\1'}}"
    cases = of(f"rewrite: {rewrite}", match="uri: {prefix: /a/}").values()
    arrivals = {case.call.path: case.answer.arrivals[0].path for case in cases}
    first = next(case.call.path for case in cases if "which its pattern takes" in case.id)
    letters, digits = first.split("/")[2:]
    assert arrivals[f"{first}/x"] == f"/{digits}/{letters}/x"
    missed = {case.call.path for case in cases if "its pattern just misses" in case.id}
    assert all(arrivals[path] == path for path in missed)
    assert {f"/a{first}", f"/a/{letters}/a", f"/a/0/{digits}"} <= missed


def test_a_regex_rewrite_that_no_path_shows_is_named(of: Of) -> None:
    rewrite = "{uriRegexRewrite: {match: '^/b', rewrite: /c}}"
    case, *_ = of(f"rewrite: {rewrite}", match="uri: {prefix: /a}").values()
    (reason,) = case.answer.unproven
    assert reason == "its uriRegexRewrite: no path was found that its pattern takes"


def test_a_condition_on_the_scheme_is_named(of: Of) -> None:
    case, *_ = of("name: a", match="scheme: {exact: http}").values()
    assert case.answer.unproven == ("the scheme of its match: every request to it is plain HTTP",)


def test_direct_response(of: Of) -> None:
    cases = of("directResponse: {status: 503, body: {string: later}}", "")
    assert list(cases) == ["path /a -> 503", "path /ax (and more) -> 503"]
    assert cases["path /a -> 503"].answer.proxy_reply is not None
    assert cases["path /a -> 503"].answer.proxy_reply.body == "later"
    head = of("directResponse: {status: 200, body: {string: a}}", "", "method: {exact: HEAD}")
    (case,) = head.values()
    assert case.answer.proxy_reply is not None
    assert case.answer.proxy_reply.body == ""


REWRITES = {
    "prefix": ("{uri: /b}", "uri: {prefix: /a}", ["/b", "/bx"]),
    "prefix with a slash": ("{uri: /}", "uri: {prefix: /a/}", ["/", "/x"]),
    "exact": ("{uri: /b}", "uri: {exact: /a}", ["/b"]),
    "regex": ("{uri: /b}", "uri: {regex: '/a+'}", ["/b", "/b"]),
    "no path in the match": ("{uri: /b}", "headers: {x-a: {exact: b}}", ["/b"]),
    "by regex": (
        "{uriRegexRewrite: {match: '^/(a)(.*)$', rewrite: '/\\2/\\1'}}",
        "uri: {prefix: /a}",
        ["//a", "//x/a", "/x/a"],
    ),
}


@pytest.mark.parametrize(("text", "match", "paths"), REWRITES.values(), ids=REWRITES)
def test_rewrite(of: Of, text: str, match: str, paths: list[str]) -> None:
    cases = of(f"rewrite: {text}", match=match).values()
    first, *others = paths
    assert [case.answer.arrivals[0].path for case in cases] == [
        first,
        f"{first}?meshproof-other=1",
        *others,
    ]
    assert {case.answer.arrivals[0].authority for case in cases} == {HOST}


def test_the_authority_that_arrives(of: Of) -> None:
    (name, case), *_ = of("rewrite: {authority: other.example}").items()
    assert name == "path /a -> v1 at other.example"
    assert case.answer.arrivals[0].authority == "other.example"
    assert case.answer.arrivals[0].path == "/a"


HEADERS = (
    "headers: {request: {set: {x-set: a}, add: {x-add: b}, remove: [x-gone]},\n"
    "            response: {set: {y-set: '%PROTOCOL%'}, add: {y-add: d}, remove: [y-gone]}}"
)


def test_headers_that_were_not_there_and_that_were(of: Of) -> None:
    cases = of(HEADERS)
    assert list(cases) == [
        "path /a -> v1",
        "path /a, x-set, x-add, x-gone, y-set, y-add, y-gone already there -> v1",
        "path /ax (and more) -> v1",
    ]
    plain, preset, _ = cases.values()
    (arrival,) = plain.answer.arrivals
    assert arrival.request_headers == (("x-add", "b"), ("x-gone", None), ("x-set", "a"))
    assert arrival.response_headers == (("y-add", "d"), ("y-gone", None), ("y-set", "%PROTOCOL%"))
    (arrival,) = preset.answer.arrivals
    assert (
        dict(arrival.request_headers)["x-add"] == UNMATCHED_VALUE
    )  # the first of two values is told
    assert dict(arrival.response_headers)["y-add"] == f"{UNMATCHED_VALUE}, d"
    assert (
        preset.call.header("x-set")
        == preset.call.header(f"{RESPONSE_HEADER_PREFIX}y-set")
        == UNMATCHED_VALUE
    )
    assert plain.title.endswith(
        "; x-add arrives as 'b'; x-gone is removed; x-set arrives as 'a'; y-add comes back as 'd'; "
        "y-gone is removed; y-set comes back as '%PROTOCOL%'"
    )


def test_no_request_carries_a_header_that_frames_it(of: Of) -> None:
    text = "headers: {request: {remove: [connection, x-a]}, response: {remove: [content-length]}}"
    assert list(of(text, match="uri: {exact: /a}")) == [
        "path /a -> v1",
        "path /a, x-a already there -> v1",
    ]
    text = "headers: {response: {remove: [content-length]}}"
    assert list(of(text, match="uri: {exact: /a}")) == ["path /a -> v1"]


def test_headers_of_a_destination_are_for_it_alone(of: Of) -> None:
    split = SPLIT.replace("weight: 50},\n", "weight: 50, headers: {request: {set: {x: a}}}},\n")
    case, preset, _ = of("name: a", split).values()
    assert [arrival.request_headers for arrival in case.answer.arrivals] == [(("x", "a"),), ()]
    assert case.needs_judge
    assert not preset.needs_judge


def test_two_destinations_that_cannot_be_told_apart(of: Of) -> None:
    same = SPLIT.replace("v2", "v1").replace(
        "weight: 50},\n", "weight: 50, headers: {request: {set: {x: a}}}},\n"
    )
    case, *_ = of("name: a", same).values()
    assert [share for _, share in case.shares] == [1]
    assert case.answer.arrivals[0].request_headers == ()


FAULTS = {
    "abort": (
        "{abort: {httpStatus: 503, percentage: {value: 100}}}",
        ["path /a -> 503"],
    ),
    "abort of some": (
        "{abort: {httpStatus: 503, percentage: {value: 25}}}",
        ["path /a -> v1 75 %, 503 (aborted) 25 %"],
    ),
    "abort of none": ("{abort: {httpStatus: 503}}", ["path /a -> v1"]),
    "delay": (
        "{delay: {fixedDelay: 1s, percentage: {value: 100}}}",
        ["path /a -> v1 after 1 s"],
    ),
    "delay, then abort": (
        "{delay: {fixedDelay: 1s, percent: 100},\n"
        "   abort: {httpStatus: 400, percentage: {value: 100}}}",
        ["path /a -> 400 after 1 s"],
    ),
    "delay of some": (
        "{delay: {fixedDelay: 1s, percent: 10}}",
        ["path /a -> v1", "path /a, 10 % after 1 s -> v1"],
    ),
}


@pytest.mark.parametrize(("text", "ids"), FAULTS.values(), ids=FAULTS)
def test_fault(of: Of, text: str, ids: list[str]) -> None:
    assert list(of(f"fault: {text}", match="uri: {exact: /a}")) == ids


def test_a_preflight_that_a_fault_aborts_at_times_is_not_judged(of: Of) -> None:
    asked = "method: {exact: OPTIONS}, headers: {access-control-request-method: {exact: PUT}"
    origin = "origin: {prefix: 'https://a'}"
    fault = "fault: {abort: {httpStatus: 503, percentage: {value: 50}}}"
    policy = "corsPolicy: {allowOrigins: [{prefix: 'https://a'}]}"
    ignoring = policy.replace("Policy: {", "Policy: {unmatchedPreflights: IGNORE, ")
    for match, actions, is_open in (
        (f"{asked}, {origin}}}", f"{fault}\n  {policy}", True),
        (f"{asked}, origin: {{exact: 'https://b'}}}}", f"{fault}\n  {ignoring}", True),
        # Without an origin, or forwarded, the route has it.
        (f"{asked}}}", f"{fault}\n  {policy}", False),
        (f"{asked}, origin: {{exact: 'https://b'}}}}", f"{fault}\n  {policy}", False),
        (f"{asked}, {origin}}}", fault, False),
    ):
        case, *_ = of(actions, match=match).values()
        assert (case.answer.is_open, case.needs_judge) == (is_open, not is_open), (match, actions)
        assert any("who answers this preflight" in part for part in case.answer.unproven) == is_open


def test_an_abort_of_some_is_judged_as_a_split(of: Of) -> None:
    text = "fault: {abort: {httpStatus: 503, percentage: {value: 50}}}"
    case, *_ = of(text, SPLIT).values()
    assert case.needs_judge
    assert [share for _, share in case.shares] == [0.25, 0.25]
    assert (case.answer.proxy_reply_share, case.status) == (0.5, 200)


def test_a_split_whose_answers_take_long_is_not_judged(of: Of) -> None:
    case, *_ = of("fault: {delay: {fixedDelay: 6s, percent: 100}}", SPLIT).values()
    assert not case.needs_judge
    assert (case.answer.min_seconds, case.answer.extra_seconds) == (6, 6)
    assert case.answer.unproven == ("its shares: answers take 6 s",)
    case, *_ = of("fault: {delay: {fixedDelay: 5s, percent: 100}}", SPLIT).values()
    assert case.needs_judge
    assert case.answer.unproven == ()


def test_a_delay_of_some_is_judged_by_itself(of: Of) -> None:
    cases = of("fault: {delay: {fixedDelay: 1s, percent: 10}}", match="uri: {exact: /a}")
    assert list(cases) == ["path /a -> v1", "path /a, 10 % after 1 s -> v1"]
    plain, delayed = cases.values()
    assert (plain.needs_judge, plain.answer.min_seconds, plain.answer.extra_seconds) == (
        False,
        0,
        1,
    )
    assert (delayed.needs_judge, delayed.outcome_shares, delayed.answer.unproven) == (
        True,
        (0.1, 0.9),
        (),
    )


@pytest.mark.parametrize("delay", ["300ms", "6s"])
def test_a_delay_that_cannot_be_told_or_is_too_dear_is_named(of: Of, delay: str) -> None:
    (case,) = of(
        f"fault: {{delay: {{fixedDelay: {delay}, percent: 10}}}}", match="uri: {exact: /a}"
    ).values()
    seconds = {"300ms": "0.3", "6s": "6"}[delay]
    assert case.answer.unproven == (f"that 10 % are delayed by {seconds} s",)


def test_what_is_not_proven_is_named(of: Of) -> None:
    delay, *_ = of("fault: {delay: {fixedDelay: 1s, percent: 10}}\n  timeout: 3s").values()
    assert delay.answer.unproven == ("the timeout of 3 s",)
    assert delay.title.endswith("; not proven: the timeout of 3 s")
    mirrored, *_ = of(
        "fault: {abort: {httpStatus: 503, percentage: {value: 5}}}\n  mirror: {host: a}"
    ).values()
    assert mirrored.answer.unproven == ("the copies for a",)
    retries, *_ = of("timeout: 1m\n  retries: {attempts: 2, retryOn: reset}").values()
    assert retries.answer.unproven == ("the timeout of 60 s", "the 2 retries")


def test_timeout(of: Of) -> None:
    cases = of("timeout: 1s", match="uri: {exact: /a}")
    assert list(cases) == ["path /a -> v1", "path /a, answered too late -> 504 after 1 s"]
    answer = cases["path /a, answered too late -> 504 after 1 s"].answer
    assert (answer.min_seconds, answer.extra_seconds, answer.instruction_headers) == (
        1,
        2.5,
        ((DELAY_HEADER, "2500"),),
    )


def test_a_timeout_that_is_waited_for_and_one_that_is_not(of: Of) -> None:
    assert len(of("timeout: 30s", match="uri: {exact: /a}")) == 2
    (case,) = of("timeout: 31s", match="uri: {exact: /a}").values()
    assert case.answer.unproven == ("the timeout of 31 s",)


def test_time_for_each_try(of: Of) -> None:
    """Istio's default conditions do not retry what was cut off; 5xx does (Envoy's docs)."""
    for conditions, seconds in (("", 1), (", retryOn: 5xx", 2)):
        text = f"retries: {{attempts: 1, perTryTimeout: 1s{conditions}}}"
        cases = of(text, match="uri: {exact: /a}")
        late = cases[f"path /a, answered too late for a try -> 504 after {seconds} s"]
        assert late.answer.instruction_headers == ((DELAY_HEADER, "2500"),)
        assert late.answer.min_seconds == seconds


@pytest.mark.parametrize(
    ("timeout", "unproven"),
    [
        ("10s", ("the timeout of 10 s: its tries are over before",)),
        ("1.2s", ("the perTryTimeout of 1 s",)),
        ("1m", ("the timeout of 60 s: its tries are over before",)),
    ],
)
def test_a_timeout_and_one_of_each_try_are_proven_apart(
    of: Of, timeout: str, unproven: tuple[str, ...]
) -> None:
    retries = "retries: {attempts: 1, perTryTimeout: 1s, retryOn: 5xx}"
    case, *_ = of(f"{retries}\n  timeout: {timeout}", match="uri: {exact: /a}").values()
    assert case.answer.unproven == unproven


def test_a_time_for_each_try_without_retries_is_one_that_istio_ignores() -> None:
    """Only Gateway API says so (backendRequest): istiod refuses such a VirtualService."""
    retries = Retries(attempts=0, per_try_seconds=1.0, conditions=())
    here = At("g.yaml", 1)
    route = Route((), (Target("reviews", (), 1),), here, retries=retries)
    cases = derive(RuleSet((RouteTable(("reviews",), (route,), ("mesh",), here),))).cases
    assert not [case.id for case in cases if "too late" in case.id]
    assert cases[0].answer.unproven == (
        "the perTryTimeout of 1 s: without retries Istio ignores it",
    )


@pytest.mark.parametrize(("value", "pods"), [("true", "another pod"), ("false", "any pod")])
def test_which_pod_gets_a_further_try_is_not_proven(of: Of, value: str, pods: str) -> None:
    retries = f"retries: {{attempts: 1, retryOn: 5xx, retryIgnorePreviousHosts: {value}}}"
    case, *_ = of(retries, match="uri: {exact: /a}").values()
    assert case.answer.unproven == (
        f"that a further try goes to {pods} (retryIgnorePreviousHosts)",
    )


RETRIES = {
    "{attempts: 1, retryOn: 5xx}": {
        "once with 500 -> v1": "500 x1",
        "twice with 500 -> 500": "500 x2",
        "once with 409 -> 409": "409 x1",
    },
    "{attempts: 1, retryOn: '503,deadline-exceeded'}": {
        "once with 503 -> v1": "503 x1",
        "once with gRPC 4 -> v1": "gRPC 4 x1",
        "twice with 503 -> 503": "503 x2",
        **{f"once with {status} -> {status}": f"{status} x1" for status in (500, 502, 504, 409)},
        **{f"once with gRPC {n} -> gRPC {n}": f"gRPC {n} x1" for n in (14, 1, 8, 13)},
    },
    "{attempts: 2, retryOn: 'reset,409'}": {
        "twice with 409 -> v1": "409 x2",
        "3 times with 409 -> 409": "409 x3",
        **{f"once with {status} -> {status}": f"{status} x1" for status in (500, 502, 503, 504)},
    },
    "{attempts: 1, retryOn: 'gateway-error,retriable-4xx'}": {
        "once with 503 -> v1": "503 x1",
        "once with 409 -> v1": "409 x1",
        "twice with 503 -> 503": "503 x2",
        "once with 500 -> 500": "500 x1",
    },
    "{attempts: 1}": {
        "once with gRPC 14 -> v1": "gRPC 14 x1",
        "once with gRPC 1 -> v1": "gRPC 1 x1",
        "twice with gRPC 14 -> gRPC 14": "gRPC 14 x2",
        **{f"once with {status} -> {status}": f"{status} x1" for status in (500, 502, 504, 409)},
        **{f"once with gRPC {n} -> gRPC {n}": f"gRPC {n} x1" for n in (4, 8, 13)},
    },
}


@pytest.mark.parametrize(("text", "failures"), RETRIES.items(), ids=RETRIES)
def test_retries(of: Of, text: str, failures: dict[str, str]) -> None:
    plain, *failing = of(f"retries: {text}", match="uri: {exact: /a}").items()
    assert plain[0] == "path /a -> v1"
    assert {
        name.removeprefix("path /a, failing "): dict(case.answer.instruction_headers)[
            FAILURE_HEADER
        ]
        for name, case in failing
    } == failures


def test_no_retries(of: Of) -> None:
    cases = of("retries: {attempts: 0}", match="uri: {exact: /a}")
    assert list(cases) == ["path /a -> v1", "path /a, failing once with gRPC 14 -> gRPC 14"]


def test_mirrors(of: Of) -> None:
    text = "mirrors: [{destination: {host: a}}, {destination: {host: b}, percentage: {value: 0}}]"
    cases = of(text, match="uri: {exact: /a}")
    assert list(cases) == ["path /a -> v1", "path /a, mirrored to a -> v1"]
    ((goal, share),) = cases["path /a, mirrored to a -> v1"].answer.mirrors
    assert (goal.host, share) == (HOST.replace("reviews", "a"), 1)


def test_port_scheme_and_namespace_of_the_caller(of: Of, routes: Routes) -> None:
    assert list(of("name: a", match="port: 80, scheme: {exact: http}")) == ["any request -> v1"]
    assert list(of("name: a", match="scheme: {exact: https}")) == []
    assert list(of("name: a", match="port: 81")) == []
    ids = [case.id for case in routes(f"- match: [{{sourceNamespace: a}}]\n{ROUTE}").cases]
    assert ids == [
        "reviews: from namespace a -> v1",
        "reviews: from namespace default -> any version",
    ]
    second_route = f"- match: [{{uri: {{exact: /a}}}}]\n{ROUTE}"
    ids = [
        case.id
        for case in routes(f"- match: [{{sourceNamespace: a}}]\n{ROUTE}{second_route}").cases
    ]
    assert "reviews: from namespace default -> 404" in ids
