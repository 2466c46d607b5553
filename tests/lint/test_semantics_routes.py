"""Which routes are reached: shadowed, contradicting, without an end, in every dialect."""

from __future__ import annotations

import textwrap

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import Finding, lint

ROUTE_CODES = ("MP0301", "MP0302", "MP0303", "MP0304", "MP0305", "MP0306", "MP0307")


def lint_routes(text: str) -> list[Finding]:
    return [finding for finding in lint(parse(text, "rules.yaml")) if finding.code in ROUTE_CODES]


def codes(text: str) -> list[tuple[str, int]]:
    return [(finding.code, finding.at.line) for finding in lint_routes(text)]


def virtual_service(http: str, head: str = "hosts: [reviews]") -> str:
    """Return a VirtualService whose http list begins in line 8."""
    body = textwrap.indent(textwrap.dedent(http).strip("\n"), "  ")
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\n"
        f"spec:\n  {head}\n  http:\n{body}\n"
    )


def routes(*matches: str, default: bool = True, head: str = "hosts: [reviews]") -> str:
    """Return a VirtualService of one-line routes, three lines each, the first in line 8."""
    lines = []
    for match in matches:
        lines += [f"- match: [{match}]", "  route:", "  - destination: {host: reviews}"]
    if default:
        lines += ["- route:", "  - destination: {host: reviews}"]
    return virtual_service("\n".join(lines), head)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{uri: {prefix: /api}}", "{uri: {prefix: /api/v2}}"),
        ("{uri: {prefix: /api}}", "{uri: {exact: /api}}"),
        ("{uri: {prefix: /api}}", "{uri: {regex: '/api/v[0-9]+'}}"),
        ("{uri: {prefix: /api}}", "{uri: {prefix: /api}, method: {exact: GET}}"),
        ("{uri: {prefix: /API}, ignoreUriCase: true}", "{uri: {prefix: /api}}"),
        ("{uri: {regex: '/api.*'}}", "{uri: {exact: /api/v1}}"),
        ("{uri: {regex: '/v[0-9]/.*'}}", "{uri: {prefix: /v1/users}}"),
        ("{headers: {a: {}}}", "{headers: {a: {exact: x}}}"),
        ("{headers: {a: {regex: '.*'}}}", "{headers: {a: {regex: 'x+'}}}"),
        ("{headers: {A: {prefix: x}}}", "{headers: {a: {exact: x}}}"),
        ("{withoutHeaders: {a: {prefix: x}}}", "{withoutHeaders: {a: {}}}"),
        ("{withoutHeaders: {a: {exact: x}}}", "{headers: {a: {exact: y}}}"),
        ("{sourceLabels: {app: a}}", "{sourceLabels: {app: a, version: v1}}"),
        ("{port: 80}", "{port: 80, uri: {exact: /a}}"),
        ("{queryParams: {q: {exact: '1'}}}", "{queryParams: {q: {exact: '1'}, r: {exact: '2'}}}"),
        ("{gateways: [a, b]}", "{gateways: [a]}"),
    ],
)
def test_the_second_route_is_shadowed(first: str, second: str) -> None:
    text = routes(first, second, head="{hosts: [reviews], gateways: [a, b, mesh]}")
    text = text.replace(
        "  {hosts: [reviews], gateways: [a, b, mesh]}\n",
        "  hosts: [reviews]\n  gateways: [a, b, mesh]\n",
    )
    (finding,) = lint_routes(text)
    assert (finding.code, finding.at.line) == ("MP0301", 12)
    assert "http[0] (line 9)" in finding.message
    assert lint_routes(text.replace(first, "@@").replace(second, first).replace("@@", second)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{uri: {prefix: /api/v2}}", "{uri: {prefix: /api}}"),
        ("{uri: {prefix: /api}}", "{uri: {prefix: /API}}"),
        ("{uri: {exact: /api}}", "{uri: {prefix: /api}}"),
        ("{uri: {prefix: /api}, method: {exact: GET}}", "{uri: {prefix: /api}}"),
        ("{uri: {prefix: /a}}", "{uri: {regex: '/(a|b)'}}"),
        ("{uri: {regex: '/a/[0-9]'}}", "{uri: {prefix: /a/1}}"),
        ("{uri: {regex: '/a|/b.*'}}", "{uri: {prefix: /a}}"),
        ("{headers: {a: {exact: x}}}", "{headers: {a: {}}}"),
        ("{headers: {a: {exact: x}}}", "{headers: {b: {exact: x}}}"),
        ("{withoutHeaders: {a: {}}}", "{withoutHeaders: {a: {exact: x}}}"),
        ("{sourceLabels: {app: a, version: v1}}", "{sourceLabels: {app: a}}"),
        ("{port: 80}", "{port: 81}"),
        ("{queryParams: {Q: {exact: '1'}}}", "{queryParams: {q: {exact: '1'}}}"),
    ],
)
def test_the_second_route_is_reached(first: str, second: str) -> None:
    assert lint_routes(routes(first, second)) == []


def test_what_could_not_be_read_shadows_nothing() -> None:
    assert (
        lint_routes(routes("{uri: {prefix: /api}, nonsense: 1}", "{uri: {prefix: /api/v2}}")) == []
    )
    assert lint_routes(routes("{uri: {prefix: 5}}", "{uri: {prefix: /api/v2}}")) == []


def test_several_earlier_routes_shadow_together() -> None:
    text = routes(
        "{uri: {prefix: /a}}", "{uri: {prefix: /b}}", "{uri: {exact: /a}}, {uri: {exact: /b}}"
    )
    assert codes(text) == [("MP0301", 14)]


@pytest.mark.parametrize(
    "match",
    [
        "{uri: {prefix: /}}",
        "{uri: {prefix: ''}}",
        "{uri: {regex: '.*'}}",
        "{uri: {regex: '^/.*$'}}",
        "{uri: {regex: '/(.*)'}}",
        "{uri: {prefix: /}, method: {regex: '.*'}}",
    ],
)
def test_catch_all_is_reported_once_where_it_stands(match: str) -> None:
    text = routes(match, "{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}")
    (finding,) = [candidate for candidate in lint_routes(text) if candidate.code == "MP0304"]
    assert finding.at.line == 8
    assert "the 3 routes after it (lines 11, 14, 17) are never reached" in finding.message
    assert finding.suggestion == "move it to the end"


@pytest.mark.parametrize(
    ("match", "message", "repair"),
    [
        ("{uri: {exact: api}}", "a path begins with '/'", "/api"),
        ("{uri: {regex: 'api/.*'}}", "a path begins with '/'", "/api/"),
        ("{uri: {regex: 'api/[0-9]+'}}", "a path begins with '/'", ".*api/[0-9]+"),
        ("{uri: {prefix: '/a?b=1'}}", "'?' and what follows", "queryParams"),
        ("{uri: {prefix: 'http://x/a'}}", "no scheme and no host", "authority"),
        ("{method: {exact: get}}", "written in capitals", "GET"),
        ("{scheme: {exact: HTTPS}}", "there is no scheme", "https"),
        ("{gateways: [other]}", "not bound to default/other", "add it to spec.gateways"),
        ("{authority: {exact: 'ratings:80'}}", "'ratings' is no host of this rule", "add it"),
        ("{headers: {a: {exact: 'x '}}}", "spaces around", "x"),
        ("{headers: {a: {exact: x}}, withoutHeaders: {a: {}}}", "no request is both", "drop one"),
        ("{headers: {a: {exact: x}}, withoutHeaders: {A: {prefix: x}}}", "both", "drop one"),
    ],
)
def test_a_match_that_never_holds_says_why(match: str, message: str, repair: str) -> None:
    (finding,) = lint_routes(routes(match))
    assert (finding.code, finding.at.line) == ("MP0302", 8)
    assert message in finding.message
    assert repair in finding.suggestion


@pytest.mark.parametrize(
    "match",
    [
        "{authority: {exact: 'reviews:9080'}}",
        "{authority: {exact: reviews.default}}",
        "{authority: {exact: reviews.default.svc.cluster.local}}",
        "{authority: {prefix: reviews}}",
        "{method: {exact: PURGE}}",
        "{headers: {a: {exact: x}}, withoutHeaders: {b: {}}}",
        "{gateways: [mesh]}",
        "{uri: {regex: '(/a|/b)'}}",
    ],
)
def test_a_match_that_can_hold_is_not_reported(match: str) -> None:
    assert [finding for finding in lint_routes(routes(match)) if finding.code == "MP0302"] == []


def test_default_is_missing_only_where_sidecars_use_the_rule() -> None:
    only = "{uri: {prefix: /a}}"
    assert codes(routes(only, default=False)) == [("MP0303", 8)]
    for gateways in ("[gateway]", "[ns/gateway]"):
        head = f"hosts: [reviews]\n  gateways: {gateways}"
        assert codes(routes(only, default=False, head=head)) == []
    head = "hosts: [reviews]\n  gateways: [gateway, mesh]"
    assert codes(routes(only, default=False, head=head)) == [("MP0303", 9)]


@pytest.mark.parametrize(
    "matches",
    [
        ("{headers: {a: {}}}", "{withoutHeaders: {a: {}}}"),
        ("{uri: {prefix: /a}}", "{port: 80}"),
        ("{uri: {prefix: /a}}", "{gateways: [mesh]}"),
        ("{sourceLabels: {app: web}}",),
        ("{sourceNamespace: shop}",),
        ("{sourceLabels: {app: a}, uri: {prefix: /a}}", "{sourceLabels: {app: a}}"),
        ("{sourceLabels: {app: a, v: '1'}, uri: {prefix: /a}}", "{sourceLabels: {app: a}}"),
    ],
)
def test_routes_that_leave_nothing_over_need_no_default(matches: tuple[str, ...]) -> None:
    assert codes(routes(*matches, default=False)) == []


@pytest.mark.parametrize(
    "matches",
    [
        ("{sourceLabels: {app: a}}", "{uri: {prefix: /a}}"),
        ("{sourceLabels: {app: a}, uri: {prefix: /a}}",),
        ("{sourceLabels: {app: a}}", "{sourceLabels: {app: b}, uri: {prefix: /a}}"),
        ("{sourceLabels: {app: a, v: '1'}}", "{sourceLabels: {app: a}, uri: {prefix: /a}}"),
    ],
)
def test_an_route_for_some_callers_is_no_default_for_others(matches: tuple[str, ...]) -> None:
    assert "MP0303" in dict(codes(routes(*matches, default=False)))


def test_a_rule_without_hosts_is_a_delegate_and_needs_no_default() -> None:
    text = virtual_service("- match: [{uri: {prefix: /a}}]\n  route: [{destination: {host: a}}]")
    assert codes(text.replace("  hosts: [reviews]\n", "")) == []


def test_of_two_equal_matches_the_second_adds_nothing() -> None:
    text = routes("{uri: {prefix: /a}}, {uri: {prefix: /b}}, {uri: {prefix: /a}}")
    (finding,) = lint_routes(text)
    assert finding.code == "MP0305"
    assert "line 8" in finding.message


def route_rule(name: str, precedence: int, match: str = "") -> str:
    match_lines = f"  match:\n    request:\n      headers: {match}\n" if match else ""
    return (
        "apiVersion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata:\n"
        f"  name: {name}\nspec:\n  destination: {{name: reviews}}\n  precedence: {precedence}\n"
        f"{match_lines}  route:\n  - labels: {{version: v1}}\n"
    )


def test_route_rules_are_ordered_by_precedence_not_by_place() -> None:
    special, everyone = route_rule("a", 1, "{end-user: {exact: x}}"), route_rule("b", 2)
    for text in (f"{special}---\n{everyone}", f"{everyone}---\n{special}"):
        (finding,) = lint_routes(text)
        assert finding.code == "MP0304"
        assert finding.suggestion == "a precedence below 1"
    assert lint_routes(f"{route_rule('a', 3, '{end-user: {exact: x}}')}---\n{everyone}") == []


def test_route_rule_shadows_a_narrower_one() -> None:
    text = (
        route_rule("wide", 2, "{uri: {prefix: /api}}")
        + "---\n"
        + route_rule("narrow", 1, "{uri: {prefix: /api/v2}, cookie: x}")
    )
    (finding,) = lint_routes(text)
    assert (finding.code, finding.suggestion) == ("MP0301", "a precedence above 2")


def test_a_replaced_rule_shadows_nothing() -> None:
    assert (
        lint_routes(f"{route_rule('a', 2)}---\n{route_rule('a', 1, '{end-user: {exact: x}}')}")
        == []
    )


def http_route(*matches: str) -> str:
    rules = "".join(
        f"  - matches: [{match}]\n    backendRefs: [{{name: a, port: 80}}]\n" for match in matches
    )
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\nspec:\n"
        f"  parentRefs: [{{name: gateway}}]\n  rules:\n{rules}"
    )


def test_in_an_http_route_the_closest_match_wins_whatever_the_order() -> None:
    catch_all, narrow = (
        "{path: {type: PathPrefix, value: /api}}",
        "{path: {type: Exact, value: /api/v2}}",
    )
    assert lint_routes(http_route(catch_all, narrow)) == []
    assert lint_routes(http_route("{path: {value: /}}", narrow)) == []


def test_in_an_http_route_the_same_match_is_a_twin() -> None:
    same = "{path: {type: PathPrefix, value: /api}}", "{path: {value: /api/}}"
    assert codes(http_route(*same)) == [("MP0301", 10)]


def test_a_header_is_removed_for_one_destination() -> None:
    text = (
        virtual_service(
            """
            - route:
              - destination: {host: productpage}
                headers: {request: {remove: [Cookie]}}
            """,
            "hosts: [productpage]",
        )
        + "---\n"
        + routes("{headers: {cookie: {prefix: a}}}")
    )
    (finding,) = lint_routes(text)
    assert (finding.code, finding.at.line) == ("MP0306", 10)
    assert "line 19" in finding.message
    assert lint_routes(text.replace("hosts: [productpage]", "hosts: [reviews]")) == []


def test_tls_and_tcp_routes_are_compared_too() -> None:
    text = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: a
spec:
  hosts: ['*.example.com']
  gateways: [gateway]
  tls:
  - match: [{port: 443, sniHosts: ['*.example.com']}]
    route: [{destination: {host: a}}]
  - match: [{port: 443, sniHosts: [a.example.com]}]
    route: [{destination: {host: b}}]
  tcp:
  - match: [{port: 1}]
    route: [{destination: {host: a}}]
  - match: [{port: 1, sourceLabels: {app: x}}]
    route: [{destination: {host: b}}]
"""
    assert codes(text) == [("MP0301", 11), ("MP0301", 16)]
