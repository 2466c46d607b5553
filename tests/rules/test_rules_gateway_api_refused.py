"""What Gateway API says that we do not serve is refused by name, with file and line."""

from __future__ import annotations

import pytest

from tests.rules.gateway_api_texts import LISTENER, TO_SHOP, gateway, http_route, refused

PREFIX = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}"


def filtered(text: str, backends: str = TO_SHOP, match: str = "/a") -> str:
    return f"- matches: [{{path: {{value: {match}}}}}]\n  filters: [{text}]\n  {backends}"


RULES = {
    "- {backendRef: []}": "g.yaml:15:6: spec.rules[0].backendRef: unknown key 'backendRef'; did "
    "you mean "
    "'backendRefs'?",
    "- {sessionPersistence: {}}": "g.yaml:15:6: spec.rules[0].sessionPersistence is not "
    "supported yet",
    "- {matches: [{paths: {}}]}": "g.yaml:15:17: spec.rules[0].matches[0].paths: unknown key "
    "'paths'; did "
    "you mean 'path'?",
    "- {matches: [{path: {type: Prefix, value: /a}}]}": "g.yaml:15:30: "
    "spec.rules[0].matches[0].path.type: "
    "'Prefix' is not one of Exact, PathPrefix, RegularExpression; did you mean 'PathPrefix'?",
    "- {matches: [{path: {value: a}}]}": "g.yaml:15:31: spec.rules[0].matches[0].path.value: "
    "expected a "
    "path that begins with /, without //, dots for folders, %2f, ? and #, found 'a'",
    "- {matches: [{path: {type: Exact, value: /a//b}}]}": "without //, dots",
    "- {matches: [{path: {value: /a/..}}]}": "without //, dots",
    "- {matches: [{path: {value: '/a?b'}}]}": "without //, dots",
    "- {matches: [{method: get}]}": "g.yaml:15:25: spec.rules[0].matches[0].method: 'get' is not "
    "one of "
    "CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE",
    "- {matches: [{headers: [{name: a, value: b, type: Prefix}]}]}": "'Prefix' is not one of "
    "Exact, "
    "RegularExpression",
    "- {matches: [{headers: [{name: a}]}]}": "g.yaml:15:27: spec.rules[0].matches[0].headers[0]: "
    "'value' "
    "is missing",
    "- {matches: [{headers: [{name: a, value: b}, {name: A, value: c}]}]}": "g.yaml:15:65: "
    "spec.rules[0]"
    ".matches[0]: a second condition on the header 'a'",
    "- {matches: [{headers: [{name: Host, value: b}]}]}": "'host' is no header that Istio looks at",
    "- {matches: [{queryParams: [{name: a, value: b}, {name: a, value: c}]}]}": "g.yaml:15:59: "
    "spec.rules[0].matches[0].queryParams[1]: a second condition on 'a'",
    "- {backendRefs: [{name: shop}]}": "g.yaml:15:20: spec.rules[0].backendRefs[0]: 'port' is "
    "missing",
    "- {backendRefs: [{name: shop, port: 80, weight: -1}]}": "expected a whole number from 0 to",
    "- {backendRefs: [{name: shop.default, port: 80}]}": "expected the name of a Service, "
    "without a "
    "dot, found 'shop.default'",
    "- {backendRefs: [{name: shop, kind: Servise, port: 80}]}": "g.yaml:15:39: "
    "spec.rules[0].backendRefs[0]"
    ": only a Service as backend is supported yet, found a Servise of group ''; did you mean "
    "'Service'?",
    "- {backendRefs: [{name: a, group: b.io, kind: Bucket}]}": "found a Bucket of group 'b.io'",
    "- {backendRefs: [{name: shop, namespace: other, port: 80}]}": "g.yaml:15:44: "
    "spec.rules[0].backendRefs"
    "[0]: no ReferenceGrant of namespace other lets a HTTPRoute of default send to shop; its share "
    "would be answered with 500",
    "- {timeouts: {request: 1.5s}}": "expected a duration as 10s, 500ms or 1m30s, found '1.5s'",
    "- {timeouts: {request: 1s, backendRequest: 2s}}": "g.yaml:15:30: spec.rules[0].timeouts: "
    "'backendRequest' is longer than 'request'",
    "- {retry: {backoff: 1s}}": "g.yaml:15:14: spec.rules[0].retry.backoff is not supported yet",
    "- {retry: {codes: [200]}}": "expected a whole number from 400 to 599",
    filtered("{type: ExtensionRef, extensionRef: {}}"): "g.yaml:16:22: spec.rules[0].filters[0]: "
    "ExtensionRef is not supported yet here",
    filtered("{type: CORS, cors: {allowOrigins: ['shop.example']}}"): "expected an origin as "
    "https://shop.example or https://*.example, found 'shop.example'",
    filtered("{type: CORS, cors: {maxAge: 0}}"): "expected a whole number from 1 to 2147483647",
    filtered("{type: ExternalAuth, externalAuth: {}}"): "ExternalAuth is not supported yet here",
    filtered("{type: UrlRewrite, urlRewrite: {}}"): "'UrlRewrite' is not one of "
    "RequestHeaderModifier, ResponseHeaderModifier, RequestMirror, RequestRedirect, URLRewrite, "
    "CORS, ExtensionRef, ExternalAuth; did you mean 'URLRewrite'?",
    filtered("{type: URLRewrite, requestMirror: {}}"): "g.yaml:16:34: spec.rules[0].filters[0]: "
    "'requestMirror' has no place in a URLRewrite",
    filtered("{type: URLRewrite, urlRewrite: {}}"): "at least one of hostname, path",
    filtered(
        "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}"
    ): "'replaceFullPath' is missing",
    filtered(
        "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: a}}}"
    ): ("expected a path that begins with /, found 'a'"),
    filtered(
        "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: a}}}"
    ): "'replacePrefixMatch' has no place in this type",
    filtered(f"{{type: URLRewrite, urlRewrite: {{{PREFIX}}}}}", match="/"): "spec.rules[0]: what "
    "ReplacePrefixMatch makes of the prefix '/' is not specified (gateway-api issue 3592); istiod "
    "makes /newx of /x",
    filtered(f"{{type: RequestRedirect, requestRedirect: {{{PREFIX}}}}}", "", "/, type: Exact"): (
        "g.yaml:15:30: spec.rules[0]: ReplacePrefixMatch needs a PathPrefix in each match"
    ),
    filtered("{type: RequestRedirect, requestRedirect: {statusCode: 304}}", ""): "expected one of "
    "301, 302, 303, 307, 308, found 304",
    filtered("{type: RequestRedirect, requestRedirect: {scheme: ftp}}", ""): "'ftp' is not one of",
    filtered("{type: RequestRedirect, requestRedirect: {}}"): "g.yaml:17:5: spec.rules[0]: "
    "'backendRefs' "
    "has no place beside a RequestRedirect",
    filtered(
        "{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}", ""
    ): "a URLRewrite has no place beside a RequestRedirect",
    filtered("{type: RequestHeaderModifier, requestHeaderModifier: {add: {a: b}}}"): "expected a "
    "list, found a mapping",
    filtered(
        "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [A], set: [{name: a, "
        "value: b}]}}"
    ): "'A' is changed twice; which comes first is not specified",
    filtered(
        "{type: RequestHeaderModifier, requestHeaderModifier: {}}, "
        "{type: RequestHeaderModifier, requestHeaderModifier: {}}"
    ): "spec.rules[0].filters[1]: a second RequestHeaderModifier",
    filtered(
        "{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 1, "
        "fraction: {numerator: 1}}}"
    ): "'fraction' has no place beside 'percent'",
    "- {backendRefs: [{name: a, port: 1, filters: [{type: URLRewrite, urlRewrite: {}}]}]}": (
        "URLRewrite is not supported yet here"
    ),
    "- {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}], "
    "backendRefs: "
    "[{name: b, port: 1, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: "
    "[a]}}]}]}": "'a' is changed here and for the whole route at g.yaml:15",
    "[]": "expected at least one rule, found a list",
}


@pytest.mark.parametrize("rule_text", RULES)
def test_a_rule_that_is_refused(rule_text: str) -> None:
    text = gateway() + (
        http_route(rule_text)
        if rule_text != "[]"
        else http_route().replace(f"\n  - {TO_SHOP}", " []")
    )
    assert RULES[rule_text] in refused(text)


OF_GRPC = {
    "- {matches: [{path: {}}]}": "unknown key 'path'",
    "- {timeouts: {}}": "unknown key 'timeouts'",
    "- {matches: [{method: {}}]}": "expected at least one of method, service",
    "- {matches: [{method: {service: a/b}}]}": "expected a name of gRPC",
    "- {matches: [{method: {method: a.b}}]}": "expected a name of gRPC",
    "- {filters: [{type: URLRewrite, urlRewrite: {}}]}": "unknown key 'urlRewrite'",
}


@pytest.mark.parametrize("rule_text", OF_GRPC)
def test_a_rule_of_grpc_that_is_refused(rule_text: str) -> None:
    assert OF_GRPC[rule_text] in refused(gateway() + http_route(rule_text, kind="GRPCRoute"))


def listener(text: str) -> str:
    return gateway(f"{{name: web, {text}}}") + http_route()


HTTPS = "port: 443, protocol: HTTPS"
SELECTED = "port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: "
GATEWAYS = {
    gateway().replace("istio", "nginx")
    + http_route(): "g.yaml:5:21: spec.gatewayClassName: only 'istio' is supported, found 'nginx'",
    gateway().replace("spec:", "spec:\n  tls: {}"): "spec.tls is not supported yet",
    gateway().replace("listeners: [", "listeners: []\n  x: ["): "unknown key 'x'",
    listener("port: 443, protocol: HTTPS"): "expected `tls`, which a listener of HTTPS needs",
    listener(f"{HTTPS}, tls: {{}}"): "spec.listeners[0].tls: at least one of certificateRefs",
    listener(f"{HTTPS}, tls: {{mode: Passthrough}}"): "TLS of a listener of HTTPS ends there: "
    "Terminate",
    listener(f"{HTTPS}, tls: {{certificateRefs: [{{name: a, kind: ConfigMap}}]}}"): "spec.listeners"
    "[0].tls.certificateRefs[0]: only a Secret is supported yet",
    listener(f"{HTTPS}, tls: {{certificateRefs: [{{name: a, namespace: b}}]}}"): "a Secret of "
    "another namespace is not supported yet",
    listener(f"{HTTPS}, tls: {{certificateRefs: [{{name: a}}], options: {{a: b}}}}"): "spec."
    "listeners[0].tls.options is not supported yet",
    listener("port: 443, protocol: TCP"): "TCP is not supported yet",
    listener("port: 80, protocol: HTTP2"): "'HTTP2' is not one of HTTP, HTTPS, TCP, TLS, UDP; did "
    "you mean 'HTTP'?",
    listener(
        "port: 80, protocol: HTTP, tls: {}"
    ): "spec.listeners[0].tls: a listener of HTTP takes no TLS",
    listener(
        "port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}"
    ): "'selector' is missing",
    listener(SELECTED + "{matchLabels: {team: a}}}}"): "spec.parentRefs[0]: default/gate takes "
    "routes by the labels of their namespace (g.yaml:6), and no Namespace object says those of "
    "default",
    listener(SELECTED + "{matchExpressions: [{key: a, operator: NotIn}]}}}"): "'values' is missing",
    listener(
        SELECTED + "{matchExpressions: [{key: a, operator: Not}]}}}"
    ): "'Not' is not one of DoesNotExist, Exists, In, NotIn",
    listener(
        "port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HttpRoute}]}"
    ): "did you mean 'HTTPRoute'?",
    listener(
        "port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}"
    ): "g.yaml:12:16:"
    " spec.parentRefs[0]: no listener of default/gate takes a HTTPRoute of namespace default; see "
    "allowedRoutes at g.yaml:6",
    gateway(LISTENER, LISTENER): "a second listener 'web'; the first is at g.yaml:6",
    gateway(
        LISTENER, LISTENER.replace("web", "more")
    ): "the listener 'more' has port 80 and host * of 'web' at g.yaml:6",
    gateway("") + http_route(): "spec.listeners: expected at least one listener, found a list",
}


@pytest.mark.parametrize("text", GATEWAYS)
def test_a_gateway_that_is_refused(text: str) -> None:
    assert GATEWAYS[text] in refused(text)


PARENTS = {
    "": "g.yaml:8:1: spec.parentRefs: it names none, and no Gateway serves it then",
    "{name: gat}": "g.yaml:12:23: spec.parentRefs[0].name: there is no Gateway default/gat; did "
    "you "
    "mean 'default/gate'?",
    "{name: gate, namespace: other}": "there is no Gateway other/gate",
    "{name: gate, sectionName: wep}": "'wep' is not one of web; did you mean 'web'?",
    "{name: gate, port: 81}": "g.yaml:12:35: spec.parentRefs[0].port: default/gate has no such "
    "port "
    "here; it has: 80",
    "{name: gate, sektion: a}": "unknown key 'sektion'",
    "{name: gate, kind: Gatewey}": "a Gatewey of 'gateway.networking.k8s.io' as parent is not "
    "supported yet; did you mean 'Gateway'?",
    "{name: a, group: networking.istio.io, kind: ServiceEntry}": "a ServiceEntry of "
    "'networking.istio.io' as parent is not supported yet",
    "{name: a, group: '', kind: Service, sectionName: http}": "of a Service it is not supported "
    "yet",
    "{name: a, group: '', kind: Service, namespace: other}": "a route for a Service of another "
    "namespace holds for callers of its own (a consumer route); that is not supported yet",
    "{name: a, group: '', kind: Service}, {name: a, group: '', kind: Service, port: 80}": (
        "a.default.svc.cluster.local has routes for all of its ports and for one; that is not "
        "supported yet"
    ),
}


@pytest.mark.parametrize("parents", PARENTS)
def test_a_parent_that_is_refused(parents: str) -> None:
    assert PARENTS[parents] in refused(gateway() + http_route(parents=parents))


def test_a_hostname_that_no_listener_has() -> None:
    text = gateway("{name: web, port: 80, protocol: HTTP, hostname: '*.a.example'}")
    message = refused(text + http_route(hosts="x.a.example, a.example"))
    assert message == ("g.yaml:13:28: no listener that this route attaches to serves a.example")


def test_two_kinds_of_route_for_one_host() -> None:
    message = refused(gateway() + http_route() + http_route(kind="GRPCRoute", name="a"))
    assert message == (
        "g.yaml:8:1: * has a HTTPRoute here and a GRPCRoute at g.yaml:17; which of them holds is "
        "not "
        "specified"
    )


@pytest.mark.parametrize("kind", ["TCPRoute", "TLSRoute", "UDPRoute", "BackendTLSPolicy"])
def test_a_kind_that_is_not_read(kind: str) -> None:
    assert f"{kind} of gateway.networking.k8s.io/v1 is not a rule that meshproof reads" in refused(
        gateway() + http_route(kind=kind)
    )
