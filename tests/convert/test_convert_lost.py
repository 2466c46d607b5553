"""What today's rules cannot say is named, with its line, on standard error and in the output."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifest_text import write_head

ROUTE = "route: [{labels: {version: v2}}]"
TIMES = "httpReqTimeout: {simpleTimeout: {timeout: 7s, overrideHeaderName: x}}"
TRIES = "httpReqRetries: {simpleRetry: {attempts: 1, overrideHeaderName: x}}"

#: One line of the spec -> column, what is named, why, and what the route says all the same.
PARTS: dict[str, tuple[str, int, str, str, dict[str, Any]]] = {
    "l4Fault": (
        "l4Fault: {terminate: {percent: 1}}",
        3,
        "spec.l4Fault",
        "a VirtualService has no faults of TCP",
        {},
    ),
    "header for the timeout": (
        TIMES,
        69,
        "spec.httpReqTimeout.simpleTimeout.overrideHeaderName",
        "a VirtualService cannot let a header of the request decide",
        {"timeout": "7s"},
    ),
    "custom timeout": (
        "httpReqTimeout: {custom: {a: b}}",
        20,
        "spec.httpReqTimeout.custom",
        "a VirtualService has no custom policies",
        {},
    ),
    "header for the retries": (
        TRIES,
        67,
        "spec.httpReqRetries.simpleRetry.overrideHeaderName",
        "a VirtualService cannot let a header of the request decide",
        {"retries": {"attempts": 1, "retryOn": "5xx,connect-failure,refused-stream"}},
    ),
    "custom retries": (
        "httpReqRetries: {custom: {a: b}}",
        20,
        "spec.httpReqRetries.custom",
        "a VirtualService has no custom policies",
        {},
    ),
    "exponential delay": (
        "httpFault: {delay: {percent: 1, exponentialDelay: 5s}}",
        53,
        "spec.httpFault.delay.exponentialDelay",
        "Envoy has fixed delays only",
        {},
    ),
    "HTTP/2 error": (
        "httpFault: {abort: {percent: 1, http2Error: REFUSED}}",
        47,
        "spec.httpFault.abort.http2Error",
        "Envoy aborts with a status of HTTP or gRPC only",
        {},
    ),
    "status 100": (
        "httpFault: {abort: {percent: 1, httpStatus: 100}}",
        47,
        "spec.httpFault.abort.httpStatus",
        "Envoy aborts with a status of 200 to 599",
        {},
    ),
}


@pytest.mark.parametrize(("line", "column", "path", "why", "left"), PARTS.values(), ids=PARTS)
def test_a_part_is_named_and_the_rest_is_converted(
    converted: Any, rule: Any, line: str, column: int, path: str, why: str, left: dict[str, Any]
) -> None:
    found = converted(rule(ROUTE, line))
    assert found.said == [f"old.yaml:7:{column}: error: {path} is not converted: {why}"]
    assert f"  # old.yaml:7: {path} is not converted: {why}\n  - name: r\n" in found.text
    (route,) = found.routes("shop")
    table = [{"destination": {"host": "shop", "subset": "v2"}}]
    assert route == {"name": "r", "route": table, **left}
    assert not found.conversion.is_complete


def test_an_route_that_redirects_has_no_fault(converted: Any, rule: Any) -> None:
    fault = "httpFault: {abort: {percent: 1, httpStatus: 500}}"
    found = converted(rule("redirect: {uri: /a}", fault))
    said = "spec.httpFault is not converted: a route that redirects cannot have a fault"
    assert found.said == [f"old.yaml:7:3: error: {said}"]
    assert "fault" not in found.routes("shop")[0]


#: A match -> column, what is named, why.
CONDITIONS = {
    "TCP": (
        "{tcp: {sourceSubnet: [10.0.0.0/8]}, request: {headers: {a: b}}}",
        16,
        "spec.match.tcp",
        "it is about TCP, which an HTTP route cannot match",
    ),
    "UDP": (
        "{udp: {sourceSubnet: [10.0.0.0/8]}, request: {headers: {a: b}}}",
        16,
        "spec.match.udp",
        "it is about TCP, which an HTTP route cannot match",
    ),
    "look-ahead": (
        "{request: {headers: {a: b, c: {regex: '(?!d).*'}}}}",
        48,
        "spec.match.request.headers.c.regex",
        "RE2 has no look-ahead (?!...); instead: a route before it, or withoutHeaders",
    ),
    "back-reference": (
        r"{request: {headers: {a: b, c: {regex: '(x)\1'}}}}",
        48,
        "spec.match.request.headers.c.regex",
        "RE2 has no back-reference; instead: what the group takes, written out",
    ),
    "a caller of no known Service": (
        "{source: {name: page}, request: {headers: {a: b}}}",
        26,
        "spec.match.source.name",
        "a VirtualService knows callers by labels; give the Service page too, whose selector says "
        "which",
    ),
}


@pytest.mark.parametrize(("match", "column", "path", "why"), CONDITIONS.values(), ids=CONDITIONS)
def test_without_a_condition_the_route_is_left_out(
    converted: Any, rule: Any, match: str, column: int, path: str, why: str
) -> None:
    """It would take requests that the rule did not take. What it says stands there as a comment."""
    found = converted(rule(f"match: {match}", ROUTE))
    said = f"{path} is not converted: {why}"
    assert found.said == [f"old.yaml:6:{column}: error: {said}"]
    assert found.routes("shop") == [{"route": [{"destination": {"host": "shop"}}]}]
    comment = found.text.partition(f"# old.yaml:6: {said}\n")[2].partition("apiVersion")[0]
    assert comment == (
        "# 'r' is left out: it would take more requests than the rule. The rest:\n"
        "#   name: r\n#   match:\n#   - headers:\n#       a:\n#         exact: b\n"
        "#   route:\n#   - destination:\n#       host: shop\n#       subset: v2\n"
    )


def test_labels_that_no_caller_of_the_service_has(converted: Any, rule: Any) -> None:
    service = (
        write_head("Service", "page") + "spec: {selector: {app: page}, ports: [{port: 80}]}\n---\n"
    )
    found = converted(service + rule("match: {source: {name: page, labels: {app: x}}}"))
    (said,) = found.said
    assert "its Service selects app=page, the labels say otherwise" in said


COOKIE = "^(.*?;)?(user=burr)(;.*)?$"


def test_a_cookie_that_is_missed_among_others_is_said_and_not_repaired(
    converted: Any, rule: Any
) -> None:
    found = converted(rule(f"match: {{request: {{headers: {{cookie: {{regex: '{COOKIE}'}}}}}}}}"))
    assert found.routes("shop")[0]["match"] == [{"headers": {"cookie": {"regex": COOKIE}}}]
    assert found.said == [
        "old.yaml:6:47: note: spec.match.request.headers.cookie.regex says the same as before and "
        r"so does not match 'Cookie: a=b; user=burr'; it would as ^(.*?;\s*)?user=burr(;.*)?$"
    ]
    assert found.conversion.is_complete
