"""Timeouts, faults, mirrors, redirects and TLS."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import Finding, lint
from tests.manifest_text import write_head


def rule(route: str, *more_routes: str, head: str = "  hosts: [reviews]\n") -> str:
    routes = "".join(f"  - {entry}\n" for entry in (route, *more_routes))
    return write_head("VirtualService", "a") + f"spec:\n{head}  http:\n{routes}"


def lint_policies(*documents: str) -> list[Finding]:
    hits = lint(parse("---\n".join(documents), "rules.yaml"))
    return [finding for finding in hits if finding.code >= "MP0601"]


def codes(*documents: str) -> list[str]:
    return [finding.code for finding in lint_policies(*documents)]


ROUTE = "route: [{destination: {host: reviews}}]"


@pytest.mark.parametrize(
    ("timeout", "retries", "message"),
    [
        ("3s", "{attempts: 3, perTryTimeout: 2s}", "of 4 tries of 2s each, 1 fit into 3s"),
        ("1s", "{attempts: 1, perTryTimeout: 2s}", "not even one fits into 1s"),
        ("500ms", "{attempts: 2, perTryTimeout: 200ms}", "of 3 tries of 200ms each, 2 fit into"),
        ("1m", "{attempts: 2, perTryTimeout: 30s}", "2 fit into 60s"),
        ("8s", "{attempts: 3, perTryTimeout: 2s}", ""),
        ("3s", "{attempts: 0}", ""),
        ("3s", "{attempts: 3}", ""),
        ("", "{attempts: 3, perTryTimeout: 20s}", ""),
    ],
)
def test_all_tries_fit_into_the_timeout(timeout: str, retries: str, message: str) -> None:
    within = f"timeout: {timeout}, " if timeout else ""
    hits = lint_policies(rule(f"{{{within}retries: {retries}, {ROUTE}}}"))
    assert [finding.code for finding in hits] == (["MP0601"] if message else [])
    assert not hits or message in hits[0].message


def test_a_route_rule_has_fifteen_seconds() -> None:
    text = (
        write_head("RouteRule", "a") + "spec:\n"
        "  destination: {name: reviews}\n"
        "  httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 5s}}\n"
        "  route: [{labels: {version: v1}}]\n"
    )
    (finding,) = lint_policies(text)
    assert (finding.code, finding.suggestion) == ("MP0601", "timeout: 20s, or shorter tries")
    assert codes(text.replace("5s", "3s")) == []


def test_the_tries_of_an_http_route_fit_into_its_timeout() -> None:
    text = (
        write_head("HTTPRoute", "a") + "spec:\n"
        "  parentRefs: [{name: gateway}]\n  rules:\n"
        "  - timeouts: {request: 3s, backendRequest: 2s}\n    retry: {attempts: 2}\n"
        "    backendRefs: [{name: a, port: 80}]\n"
    )
    assert codes(text) == ["MP0601"]
    assert codes(text.replace("3s", "6s")) == []


@pytest.mark.parametrize(
    ("match", "fault", "expected"),
    [
        ("", "abort: {percentage: {value: 100}, httpStatus: 500}", ["MP0602"]),
        ("", "delay: {percentage: {value: 100.0}, fixedDelay: 5s}", ["MP0602"]),
        ("", "delay: {percent: 100, fixedDelay: 5s}", ["MP0602"]),
        ("{uri: {prefix: /}}", "abort: {percentage: {value: 100}, httpStatus: 500}", ["MP0602"]),
        ("{headers: {a: {}}}", "abort: {percentage: {value: 100}, httpStatus: 500}", []),
        ("{sourceLabels: {a: b}}", "abort: {percentage: {value: 100}, httpStatus: 500}", []),
        ("", "abort: {percentage: {value: 99}, httpStatus: 500}", []),
        ("", "abort: {httpStatus: 500}", ["MP0607"]),
        ("", "abort: {percentage: {}, httpStatus: 500}", ["MP0607"]),
        ("{headers: {a: {}}}", "delay: {fixedDelay: 5s}", ["MP0607"]),
    ],
)
def test_a_fault_says_how_many_and_not_all(match: str, fault: str, expected: list[str]) -> None:
    matched = f"match: [{match}], " if match else ""
    assert codes(rule(f"{{{matched}fault: {{{fault}}}, {ROUTE}}}", f"{{{ROUTE}}}")) == expected


@pytest.mark.parametrize(
    ("target", "mirror", "expected"),
    [
        ("{host: a}", "{host: a}", ["MP0603"]),
        ("{host: a}", "{host: a.default.svc.cluster.local}", ["MP0603"]),
        ("{host: a, subset: v1}", "{host: a}", ["MP0603"]),
        ("{host: a, subset: v1}", "{host: a, subset: v1}", ["MP0603"]),
        ("{host: a, subset: v1}", "{host: a, subset: v2}", []),
        ("{host: a}", "{host: b}", []),
        ("{host: a, port: {number: 80}}", "{host: a, port: {number: 81}}", []),
    ],
)
def test_a_mirror_goes_elsewhere(target: str, mirror: str, expected: list[str]) -> None:
    to = f"route: [{{destination: {target}}}]"
    assert codes(rule(f"{{{to}, mirror: {mirror}}}")) == expected
    assert codes(rule(f"{{{to}, mirrors: [{{destination: {mirror}}}]}}")) == expected


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (["{match: [{uri: {prefix: /a}}], redirect: {uri: /a/b}}"], ["MP0604"]),
        (["{match: [{uri: {prefix: /a}}], redirect: {uri: /b}}"], []),
        (["{match: [{uri: {exact: /a}}], redirect: {uri: /a/b}}"], []),
        (["{redirect: {authority: other.example.com}}"], []),
        (["{redirect: {scheme: https}}"], []),
        (["{redirect: {uri: /a, port: 8080}}"], []),
        (
            [
                "{match: [{uri: {exact: /a}}], redirect: {uri: /b}}",
                "{match: [{uri: {exact: /b}}], redirect: {uri: /a}}",
            ],
            ["MP0604"],
        ),
        (
            [
                "{match: [{uri: {exact: /b}}], route: [{destination: {host: b}}]}",
                "{match: [{uri: {prefix: /}}], redirect: {uri: /b}}",
            ],
            [],
        ),
        (["{match: [{uri: {regex: '/a/[0-9]+'}}], redirect: {uri: /a/1}}"], []),
        (["{match: [{headers: {a: {}}}], redirect: {uri: /b}}"], ["MP0604"]),
    ],
)
def test_redirects_are_followed_to_their_end(routes: list[str], expected: list[str]) -> None:
    assert codes(rule(*routes, f"{{{ROUTE}}}")) == expected


def gateway(*ports: str) -> str:
    servers = "".join(f"  - {{port: {port}, hosts: [a.example.com]}}\n" for port in ports)
    return (
        write_head("Gateway", "front") + "spec:\n"
        f"  selector: {{istio: ingressgateway}}\n  servers:\n{servers}"
    )


HTTP = "{number: 80, name: http, protocol: HTTP}"
HTTPS = "{number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}"


def test_a_redirect_to_https_comes_back_where_the_rule_is_served_there_too() -> None:
    head = "  hosts: [a.example.com]\n  gateways: [front]\n"
    text = rule("{redirect: {scheme: https}}", head=head)
    assert codes(gateway(HTTP, HTTPS), text) == ["MP0604"]
    assert codes(gateway(HTTP), text) == []
    plain = rule(
        "{match: [{scheme: {exact: http}}], redirect: {scheme: https}}", f"{{{ROUTE}}}", head=head
    )
    assert codes(gateway(HTTP, HTTPS), plain) == []


def test_redirects_of_gateway_api_are_followed_by_the_closest_match() -> None:
    text = (
        write_head("HTTPRoute", "a") + "spec:\n"
        "  parentRefs: [{name: gateway}]\n  rules:\n"
        "  - matches: [{path: {value: /a}}]\n"
        "    filters:\n    - type: RequestRedirect\n"
        "      requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /a/b}}\n"
    )
    closer = (
        "  - matches: [{path: {type: Exact, value: /a/b}}]\n"
        "    backendRefs: [{name: a, port: 80}]\n"
    )
    assert codes(text) == ["MP0604"]
    assert codes(text + closer) == []


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (HTTP, []),
        (f"{HTTP}, tls: {{httpsRedirect: true}}", []),
        (f"{HTTP}, tls: {{mode: SIMPLE, credentialName: a}}", ["MP0605"]),
        (HTTPS, []),
        ("{number: 443, name: https, protocol: HTTPS}", ["MP0605"]),
    ],
)
def test_a_gateways_tls_fits_its_protocol(server: str, expected: list[str]) -> None:
    assert codes(gateway(server)) == expected


def service(port: str) -> str:
    return (
        write_head("Service", "reviews") + "spec:\n"
        f"  selector: {{app: reviews}}\n  ports: [{port}]\n"
    )


def policy(settings: str, host: str = "reviews") -> str:
    return (
        write_head("DestinationRule", "a") + "spec:\n"
        f"  host: {host}\n  trafficPolicy: {{{settings}}}\n"
    )


SIMPLE = "tls: {mode: SIMPLE, caCertificates: system}"


@pytest.mark.parametrize(
    ("port", "settings", "expected"),
    [
        ("{name: http, port: 80}", SIMPLE, ["MP0605"]),
        ("{name: https, port: 443}", SIMPLE, []),
        ("{name: web, port: 80}", SIMPLE, []),
        ("{name: http, port: 80}", "tls: {mode: ISTIO_MUTUAL}", []),
        ("{name: http, port: 80}", f"portLevelSettings: [{{port: {{number: 443}}, {SIMPLE}}}]", []),
        (
            "{name: http, port: 80}, {name: https, port: 443}",
            f"portLevelSettings: [{{port: {{number: 443}}, {SIMPLE}}}]",
            [],
        ),
        (
            "{name: http, port: 80}, {name: https, port: 443}",
            f"portLevelSettings: [{{port: {{number: 80}}, tls: {{mode: DISABLE}}}}], {SIMPLE}",
            [],
        ),
    ],
)
def test_tls_begins_only_towards_a_tls_port(port: str, settings: str, expected: list[str]) -> None:
    assert codes(service(port), policy(settings)) == expected


ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.org]
  ports: [PORT]
  resolution: DNS
"""


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("{number: 80, name: http, protocol: HTTP}", ["MP0605"]),
        ("{number: 80, name: http, protocol: HTTP, targetPort: 443}", []),
        ("{number: 443, name: http, protocol: HTTP}", []),
    ],
)
def test_tls_origination_for_the_outside_is_no_mistake(port: str, expected: list[str]) -> None:
    assert codes(ENTRY.replace("PORT", port), policy(SIMPLE, "api.example.org")) == expected


def test_plain_http_does_not_go_to_a_tls_port() -> None:
    entry = ENTRY.replace("PORT", "{number: 443, name: https, protocol: HTTPS}")
    text = rule("{route: [{destination: {host: api.example.org, port: {number: 443}}}]}")
    assert codes(entry, text) == ["MP0606"]
    assert codes(entry, text, policy(SIMPLE, "api.example.org")) == []
    assert codes(service("{name: https, port: 443}"), rule(f"{{{ROUTE}}}")) == ["MP0606"]


def peers(mode: str, namespace: str = "istio-system", extra_spec: str = "") -> str:
    return (
        write_head("PeerAuthentication", "default", namespace)
        + f"spec: {{mtls: {{mode: {mode}}}{extra_spec}}}\n"
    )


@pytest.mark.parametrize(
    ("policies", "mode", "expected"),
    [
        ([peers("STRICT")], "DISABLE", ["MP0608"]),
        ([peers("STRICT")], "ISTIO_MUTUAL", []),
        ([peers("PERMISSIVE")], "DISABLE", []),
        ([peers("DISABLE")], "ISTIO_MUTUAL", ["MP0608"]),
        ([peers("STRICT"), peers("PERMISSIVE", "default")], "DISABLE", []),
        ([peers("PERMISSIVE"), peers("STRICT", "default")], "DISABLE", ["MP0608"]),
        (
            [peers("STRICT"), peers("DISABLE", "default", ", selector: {matchLabels: {a: b}}")],
            "DISABLE",
            [],
        ),
    ],
)
def test_callers_and_service_agree_on_mutual_tls(
    policies: list[str], mode: str, expected: list[str]
) -> None:
    assert codes(*policies, policy(f"tls: {{mode: {mode}}}")) == expected


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ("{mode: SIMPLE}", ["MP0609"]),
        ("{mode: MUTUAL, credentialName: a}", ["MP0609"]),
        ("{mode: SIMPLE, caCertificates: /etc/ca.pem}", []),
        ("{mode: SIMPLE, caCertificates: /etc/ca.pem, insecureSkipVerify: true}", ["MP0609"]),
        ("{mode: ISTIO_MUTUAL}", []),
    ],
)
def test_the_server_is_verified(tls: str, expected: list[str]) -> None:
    assert codes(policy(f"tls: {tls}", "api.example.org")) == expected
