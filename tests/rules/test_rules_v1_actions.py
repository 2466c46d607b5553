"""What a route does beside its split is read into the model, or refused with its place."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.rules.actions import (
    UNCHANGED,
    DirectResponse,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.model import Mirror, Route, Target

HOST = "reviews.default.svc.cluster.local"
HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /a}}]
"""
ROUTE = "    route: [{destination: {host: reviews}}]\n"


def route(text: str, table: str = ROUTE) -> Route:
    (parsed,) = rules.read_rules(manifest.parse(f"{HEAD}    {text}\n{table}", "r.yaml")).tables
    return parsed.routes[0]


def refused(text: str, table: str = ROUTE) -> str:
    with pytest.raises(BadRules) as error:
        route(text, table)
    return str(error.value)


REDIRECTS = {
    "{uri: /b}": Redirect(301, "/b"),
    "{authority: b, redirectCode: 307}": Redirect(307, authority="b"),
    "{scheme: https, port: 8443}": Redirect(301, scheme="https", port=8443),
    "{derivePort: FROM_REQUEST_PORT}": Redirect(301, use_request_port=True),
    "{scheme: https, derivePort: FROM_PROTOCOL_DEFAULT}": Redirect(301, scheme="https"),
}


@pytest.mark.parametrize(("text", "redirect"), REDIRECTS.items(), ids=REDIRECTS)
def test_redirect(text: str, redirect: Redirect) -> None:
    parsed = route(f"redirect: {text}", table="")
    assert parsed.redirect == redirect
    assert parsed.split == ()


def test_direct_response() -> None:
    parsed = route("directResponse: {status: 418, body: {string: tea}}", table="")
    assert (parsed.direct_response, parsed.split) == (DirectResponse(418, "tea"), ())
    assert route("directResponse: {status: 204}", table="").direct_response == DirectResponse(204)


def test_rewrite() -> None:
    assert route("rewrite: {uri: /b, authority: b}").rewrite == Rewrite("/b", "b")
    by_regex = route("rewrite: {uriRegexRewrite: {match: '^/a(.*)', rewrite: '/b\\1'}}").rewrite
    assert by_regex == Rewrite(pattern="^/a(.*)", substitution="/b\\1")
    assert by_regex.at.line == 8


def test_headers_of_an_route_and_of_a_destination() -> None:
    changes = (
        "headers: {request: {set: {X-A: a}, add: {b: b}, remove: [C]}, response: {set: {d: d}}}"
    )
    headers = Headers(
        HeaderChanges((("x-a", "a"),), (("b", "b"),), ("c",)), HeaderChanges((("d", "d"),))
    )
    assert route(changes).headers == headers
    assert headers.request.names == ("x-a", "b", "c")
    table = f"    route: [{{destination: {{host: reviews}}, {changes}}}]\n"
    parsed = route("name: x", table)
    assert (parsed.headers, parsed.split[0].headers) == (UNCHANGED, headers)


FAULTS = {
    "{delay: {fixedDelay: 1m30s, percentage: {value: 12.5}}}": Fault(90, 12.5),
    "{delay: {fixedDelay: 100ms, percent: 7}}": Fault(0.1, 7),
    "{delay: {fixedDelay: 2s}}": Fault(2, 0),
    "{abort: {httpStatus: 503, percentage: {value: 100}}}": Fault(
        abort_status=503, abort_percent=100
    ),
    "{abort: {grpcStatus: INTERNAL, percentage: {value: 40}}}": Fault(
        abort_status=200, abort_percent=40, abort_grpc="INTERNAL"
    ),
    "{abort: {httpStatus: 503, percentage: {}}}": Fault(abort_status=503, abort_percent=0),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.items(), ids=FAULTS)
def test_fault(text: str, fault: Fault) -> None:
    assert route(f"fault: {text}").fault == fault


def test_timeout_and_retries() -> None:
    parsed = route(
        "timeout: 2.5s\n    retries: {attempts: 3, perTryTimeout: 1s, retryOn: '5xx, 409'}"
    )
    assert parsed.timeout == 2.5
    assert parsed.retries == Retries(3, 1.0, ("5xx", "409"))
    assert route("retries: {attempts: 0}").retries == Retries(0)
    assert (route("name: a").timeout, route("name: a").retries) == (None, None)


def test_mirrors() -> None:
    to = Target("m." + HOST.partition(".")[2], (), 100)
    assert route("mirror: {host: m}").mirrors == (Mirror(to),)
    half = "mirror: {host: m}\n    mirrorPercentage: {value: 50}"
    assert route(half).mirrors == (Mirror(to, 50),)
    several = (
        "mirrors: [{destination: {host: m}, percentage: {value: 5}}, {destination: {host: m}}]"
    )
    parsed = route(several)
    assert parsed.mirrors == (Mirror(to, 5), Mirror(to))
    assert [target.host for target in parsed.targets] == [HOST, to.host, to.host]


def test_conditions_on_port_scheme_and_namespace() -> None:
    text = f"{HEAD}{ROUTE}".replace(
        "{uri: {prefix: /a}}",
        "{port: 80, scheme: {exact: http}, sourceNamespace: a, statPrefix: b}",
    )
    (match,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables[0].routes[0].matches
    assert (match.port, match.source_namespace) == (80, "a")
    assert match.scheme is not None
    assert match.scheme.value == "http"


REFUSED = {
    "redirect and route": (
        "redirect: {uri: /b}",
        "9:5: spec.http[0]: 'route' has no place beside 'redirect'",
    ),
    "direct response and route": (
        "directResponse: {status: 200}",
        "9:5: spec.http[0]: 'route' has no place beside 'directResponse'",
    ),
    "rewrite twice": (
        "rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}",
        "8:40: spec.http[0].rewrite: 'uriRegexRewrite' has no place beside 'uri'",
    ),
    "empty rewrite": (
        "rewrite: {}",
        "8:14: spec.http[0].rewrite: expected at least one of authority, uri, uriRegexRewrite, "
        "found a mapping",
    ),
    "header twice": (
        "headers: {request: {set: {A: b}, remove: [a]}}",
        "8:47: spec.http[0].headers.request: 'a' is changed twice; which comes first is not "
        "specified",
    ),
    "host among headers of the response": (
        "headers: {response: {set: {Host: b}}}",
        "8:32: spec.http[0].headers.response.set: 'Host' is no header; rewrite.authority changes "
        "the host",
    ),
    "host that is set and added": (
        "headers: {request: {add: {host: b.example}, set: {Host: a.example}}}",
        "8:61: spec.http[0].headers.request.set.Host: the host of the route is set twice, which "
        "Istio refuses",
    ),
    "host beside a rewrite": (
        "headers: {request: {set: {Host: b.example}}}\n    rewrite: {authority: a.example}",
        "8:37: spec.http[0].headers.request.set.Host: the host of the route is set twice, which "
        "Istio refuses",
    ),
    "host that is removed": (
        "headers: {request: {remove: [Host]}}",
        "8:34: spec.http[0].headers.request: 'Host' is no header; rewrite.authority changes "
        "the host",
    ),
    "delay that is no duration": (
        "fault: {delay: {fixedDelay: 5, percent: 1}}",
        "8:33: spec.http[0].fault.delay.fixedDelay: expected text, found 5",
    ),
    "delay without a unit": (
        "fault: {delay: {fixedDelay: '5', percent: 1}}",
        "8:33: spec.http[0].fault.delay.fixedDelay: expected a duration as 5s, 100ms or 1m30s, "
        "found '5'",
    ),
    "percentage": (
        "fault: {delay: {fixedDelay: 5s, percentage: {value: 101}}}",
        "8:57: spec.http[0].fault.delay.percentage.value: expected a number from 0 to 100, "
        "found 101",
    ),
    "exponential delay": (
        "fault: {delay: {exponentialDelay: 5s}}",
        "8:21: spec.http[0].fault.delay.exponentialDelay is not supported yet",
    ),
    "abort by gRPC": (
        "fault: {abort: {grpcStatus: UNAVAILABEL}}",
        "8:33: spec.http[0].fault.abort.grpcStatus: 'UNAVAILABEL' is not one of OK, CANCELLED, "
        "UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, "
        "PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, "
        "UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED; did you mean "
        "'UNAVAILABLE'?",
    ),
    "abort by HTTP and gRPC": (
        "fault: {abort: {grpcStatus: OK, httpStatus: 503}}",
        "8:49: spec.http[0].fault.abort: 'httpStatus' has no place beside 'grpcStatus'",
    ),
    "condition of a retry": (
        "retries: {attempts: 1, retryOn: '5xx,connect-failur'}",
        "8:37: spec.http[0].retries.retryOn: 'connect-failur' is no condition of a retry, nor a "
        "status; did you mean 'connect-failure'?",
    ),
    "mirrors": (
        "mirror: {host: a}\n    mirrors: []",
        "9:14: spec.http[0]: 'mirrors' has no place beside 'mirror'",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text) == f"r.yaml:{message}"


def test_redirect_that_is_wrong() -> None:
    assert refused("redirect: {redirectCode: 302}", "").startswith(
        "r.yaml:8:15: spec.http[0].redirect: expected at least one of authority, port, "
        "prefixRewrite, scheme, uri"
    )
    assert refused("redirect: {uri: /, redirectCode: 300}", "") == (
        "r.yaml:8:38: spec.http[0].redirect.redirectCode: expected one of 301, 302, 303, 307, 308, "
        "found 300"
    )
    assert "did you mean 'FROM_REQUEST_PORT'" in refused("redirect: {derivePort: FROM_REQUES}", "")


def test_a_header_that_an_route_and_its_destination_change() -> None:
    table = "    route: [{destination: {host: reviews}, headers: {request: {set: {a: c}}}}]\n"
    assert refused("headers: {request: {add: {A: b}}}", table) == (
        "r.yaml:9:13: 'a' is changed here and for the whole route at r.yaml:7; which change is the "
        "last one is not specified"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("headers: {request: {set: {Host: a.example}}}", "a.example"),
        ("headers: {request: {add: {':authority': a.example}}}", "a.example"),
    ],
)
def test_a_host_header_is_a_rewrite_of_the_host(text: str, host: str) -> None:
    read_route = route(text)
    assert read_route.rewrite is not None
    assert read_route.rewrite.authority == host
    assert read_route.headers.request.names == ()
