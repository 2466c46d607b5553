"""HTTPRoutes and GRPCRoutes are read into the routes that VirtualServices become, too."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.documents.manifest import At
from meshproof.rules.actions import (
    DirectResponse,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.model import Gateway, Match, Mirror, Proxy, Server, StringMatch, Target
from tests.manifest_text import write_head
from tests.rules.gateway_api_texts import TO_SHOP, gateway, http_route, only, read, refused, route

NOWHERE = At("", 0)
SHOP = "shop.default.svc.cluster.local"


def string(kind: Any, value: str) -> StringMatch:
    return StringMatch(kind, value, NOWHERE)


def target(host: str = SHOP, weight: int = 1, port: int = 80, **fields: Any) -> Target:
    return Target(host, (), weight, port, **fields)


MATCHES: dict[str, dict[str, Any]] = {
    "path: {type: Exact, value: /a/}": {"uri": string("exact", "/a/")},
    "path: {type: PathPrefix, value: /a/b/}": {"uri": string("path_prefix", "/a/b")},
    "path: {value: /a}": {"uri": string("path_prefix", "/a")},
    "path: {type: RegularExpression, value: '/a|/b'}": {"uri": string("regex", "/a|/b")},
    "path: {type: PathPrefix}, method: PUT": {"method": string("exact", "PUT")},
    "path: {value: /}, headers: [{name: X-A, value: '1'}]": {
        "headers": (("x-a", string("exact", "1")),)
    },
    "headers: [{name: a, value: b+, type: RegularExpression}, {name: b, value: c, type: Exact}]": {
        "headers": (("a", string("regex", "b+")), ("b", string("exact", "c")))
    },
    "queryParams: [{name: Q, value: '1'}, {name: q, value: .*, type: RegularExpression}]": {
        "query": (("Q", string("exact", "1")), ("q", string("regex", ".*")))
    },
}


@pytest.mark.parametrize("text", MATCHES)
def test_a_match(text: str) -> None:
    (match,) = route(f"- {{matches: [{{{text}}}], {TO_SHOP}}}").matches
    assert match == Match(NOWHERE, **MATCHES[text])


@pytest.mark.parametrize("text", ["", "matches: [],", "matches: [{}],", "matches: [{path: {}}],"])
def test_a_rule_without_conditions_takes_everything(text: str) -> None:
    assert route(f"- {{{text} {TO_SHOP}}}").matches == ()


CALLS = {
    "{service: a.B, method: C}": string("exact", "/a.B/C"),
    "{service: a.B, type: Exact}": string("path_prefix", "/a.B"),
    "{method: C}": string("regex", "/[^/]+/C"),
    "{type: RegularExpression, service: 'a.*', method: 'C|D'}": string("regex", "/a.*/C|D"),
    "{type: RegularExpression, service: a.b}": string("regex", "/a.b/.+"),
    "{type: RegularExpression, method: 'C.'}": string("regex", "/[^/]+/C."),
}


@pytest.mark.parametrize("text", CALLS)
def test_a_call_of_grpc_is_a_path(text: str) -> None:
    parsed = route(
        f"- {{matches: [{{method: {text}, headers: [{{name: A, value: b}}]}}], {TO_SHOP}}}",
        "GRPCRoute",
    )
    assert parsed.matches == (
        Match(NOWHERE, uri=CALLS[text], headers=(("a", string("exact", "b")),)),
    )


SPLITS = {
    "{name: shop, port: 80}": (target(),),
    "{name: a, port: 80, weight: 0}, {name: b, namespace: default, port: 81, weight: 7}": (
        target("a.default.svc.cluster.local", 0),
        target("b.default.svc.cluster.local", 7, 81),
    ),
    "{name: shop, port: 80, group: '', kind: Service, filters: [{type: RequestHeaderModifier, "
    "requestHeaderModifier: {add: [{name: X-A, value: b}], remove: [X-C]}}]}": (
        target(headers=Headers(HeaderChanges((), (("x-a", "b"),), ("x-c",)))),
    ),
}


@pytest.mark.parametrize("text", SPLITS)
def test_a_split(text: str) -> None:
    assert route(f"- {{backendRefs: [{text}]}}").split == SPLITS[text]


@pytest.mark.parametrize(
    "text", ["{}", "{backendRefs: []}", "{backendRefs: [{name: shop, port: 80, weight: 0}]}"]
)
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_without_a_weight_it_is_answered_500(text: str, kind: str) -> None:
    parsed = route(f"- {text}", kind)
    assert parsed.direct_response == DirectResponse(500)
    assert not parsed.split


def test_an_http_route_without_rules_answers_500() -> None:
    text = gateway() + http_route().replace(f"  rules:\n  - {TO_SHOP}\n", "")
    (table,) = read(text).tables
    assert [parsed.direct_response for parsed in table.routes] == [DirectResponse(500)]
    message = refused(text.replace("HTTPRoute", "GRPCRoute"))
    assert message == "g.yaml:12:3: spec: 'rules' is missing"


BELOW = "matches: [{path: {value: /a}}], "
SET = "requestHeaderModifier: {set: [{name: X, value: y}]}"
BACK = "responseHeaderModifier: {add: [{name: x, value: '%A%'}], remove: [Server]}"
PREFIX = "path: {type: ReplacePrefixMatch, replacePrefixMatch: "
FULL = "path: {type: ReplaceFullPath, replaceFullPath: "
AUDIT = "backendRef: {name: audit, port: 81}"
COPY = target("audit.default.svc.cluster.local", 100, 81)
ON = ("connect-failure", "refused-stream", "unavailable", "cancelled")
ACTIONS: dict[str, dict[str, Any]] = {
    f"filters: [{{type: RequestHeaderModifier, {SET}}}]": {
        "headers": Headers(HeaderChanges(set=(("x", "y"),)))
    },
    f"filters: [{{type: ResponseHeaderModifier, {BACK}}}]": {
        "headers": Headers(response=HeaderChanges((), (("x", "%A%"),), ("server",)))
    },
    "filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}]": {
        "rewrite": Rewrite(authority="a.example", at=At("", 0))
    },
    f"filters: [{{type: URLRewrite, urlRewrite: {{{PREFIX}/b/}}}}}}]": {"rewrite": Rewrite("/b/")},
    f"filters: [{{type: URLRewrite, urlRewrite: {{{PREFIX}''}}}}}}]": {"rewrite": Rewrite("/")},
    f"filters: [{{type: URLRewrite, urlRewrite: {{{FULL}'/b\\c'}}}}}}]": {
        "rewrite": Rewrite(pattern="/.*", substitution="/b\\\\c")
    },
    f"filters: [{{type: RequestMirror, requestMirror: {{{AUDIT}}}}}]": {"mirrors": (Mirror(COPY),)},
    f"filters: [{{type: RequestMirror, requestMirror: {{{AUDIT}, percent: 5}}}}, "
    f"{{type: RequestMirror, requestMirror: {{{AUDIT}, fraction: {{numerator: 1, denominator: 8}}"
    f"}}}}, {{type: RequestMirror, requestMirror: {{{AUDIT}, fraction: {{numerator: 3}}}}}}]": {
        "mirrors": (Mirror(COPY, 5.0), Mirror(COPY, 12.5), Mirror(COPY, 3.0))
    },
    "timeouts: {request: 1m30s}": {"timeout": 90.0},
    "timeouts: {request: 10s, backendRequest: 500ms}": {"timeout": 0.5},
    "timeouts: {request: 0s, backendRequest: 2s}": {"timeout": 2.0},
    "timeouts: {request: 10s, backendRequest: 2s}, retry: {attempts: 3, codes: [503, 429]}": {
        "timeout": 10.0,
        "retries": Retries(3, 2.0, ("503", "429", *ON)),
    },
    "retry: {}": {"retries": Retries(2, 0.0, ON)},
    "retry: {attempts: 0}": {"retries": Retries(0, 0.0, ON)},
}


@pytest.mark.parametrize("text", ACTIONS)
def test_an_action(text: str) -> None:
    parsed = route(f"- {{{BELOW} {TO_SHOP}, {text}}}")
    plain = route(f"- {{{BELOW} {TO_SHOP}}}")
    assert {name: getattr(parsed, name) for name in ACTIONS[text]} == ACTIONS[text]
    other_fields = vars(parsed).keys() - ACTIONS[text].keys()
    assert {name: getattr(parsed, name) for name in other_fields} == {
        name: getattr(plain, name) for name in other_fields
    }


@pytest.mark.parametrize(
    "action",
    [f"URLRewrite, urlRewrite: {{{PREFIX}", f"RequestRedirect, requestRedirect: {{{PREFIX}"],
)
@pytest.mark.parametrize("match", ["", "matches: [{path: {value: /}}], "])
def test_the_prefix_of_all_paths_in_place_of_itself(action: str, match: str) -> None:
    backends = TO_SHOP if "urlRewrite" in action else "backendRefs: []"
    parsed = route(f"- {{{match}{backends}, filters: [{{type: {action}/}}}}}}]}}")
    new_prefix = (
        parsed.rewrite.uri if parsed.rewrite else parsed.redirect and parsed.redirect.prefix
    )
    assert (new_prefix, parsed.matches) == ("/", ())


REDIRECTS = {
    "{}": Redirect(302, use_request_port=True),
    "{hostname: b.example, statusCode: 308}": Redirect(
        308, authority="b.example", use_request_port=True
    ),
    "{scheme: https}": Redirect(302, scheme="https"),
    "{scheme: https, port: 8443}": Redirect(302, scheme="https", port=8443),
    "{port: 81}": Redirect(302, port=81),
    f"{{{FULL}/b}}}}": Redirect(302, uri="/b", use_request_port=True),
    f"{{{PREFIX}/b}}}}": Redirect(302, prefix="/b", use_request_port=True),
    f"{{{PREFIX}''}}}}": Redirect(302, prefix="/", use_request_port=True),
}


@pytest.mark.parametrize("text", REDIRECTS)
def test_a_redirect(text: str) -> None:
    parsed = route(f"- {{{BELOW} filters: [{{type: RequestRedirect, requestRedirect: {text}}}]}}")
    assert parsed.redirect == REDIRECTS[text]
    assert (parsed.split, parsed.direct_response) == ((), None)


def test_what_is_answered_500_keeps_changes_of_the_answer_alone() -> None:
    parsed = route(
        f"- {{{BELOW} filters: [{{type: ResponseHeaderModifier, {BACK}}}, "
        f"{{type: RequestHeaderModifier, {SET}}}, "
        f"{{type: RequestMirror, requestMirror: {{{AUDIT}}}}}], timeouts: {{request: 1s}}}}"
    )
    assert parsed.headers == Headers(response=HeaderChanges((), (("x", "%A%"),), ("server",)))
    assert (parsed.mirrors, parsed.timeout) == ((), None)


def test_every_value_keeps_its_place() -> None:
    table = only(
        f"""
        - name: late
          {TO_SHOP}
        - name: first
          matches:
          - headers:
            - {{name: a, value: b}}
          - path:
              value: /a
          backendRefs:
          - name: shop
            port: 80
        """
    )
    assert [parsed.name for parsed in table.routes] == ["first", "first", "late"]
    by_path, by_header, _ = table.routes
    assert by_path.at == by_header.at == At("g.yaml", 17, 5)
    assert by_path.matches[0].at == At("g.yaml", 21, 7)
    assert by_path.matches[0].uri is not None
    assert by_path.matches[0].uri.at == At("g.yaml", 22, 16)
    assert by_header.matches[0].headers[0][1].at == At("g.yaml", 20, 26)
    assert by_path.split[0].at == At("g.yaml", 24, 7)
    assert table.at == At("g.yaml", 8, 1)


def test_older_versions_and_istios_own_gateways_stand_beside() -> None:
    istio = (
        write_head("Gateway", "gate")
        + "spec: {selector: {istio: ingressgateway}, servers: [{hosts: [a.example], "
        "port: {number: 81, name: http, protocol: HTTP}}]}\n"
    )
    rules = read((gateway() + http_route()).replace("k8s.io/v1", "k8s.io/v1beta1") + istio)
    labels = (("gateway.networking.k8s.io/gateway-name", "gate"),)
    own_proxy = Proxy("default/gate", "default", labels)
    assert rules.gateways == (
        Gateway("default/gate", (Server(81, ("a.example",)),), NOWHERE),
        Gateway("default/gate/web", (Server(80, ("*",)),), NOWHERE, (own_proxy,)),
    )
    assert rules.dialect == "HTTPRoute"
