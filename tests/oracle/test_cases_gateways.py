"""Cases at gateways: TLS and its clients, redirects to https, several proxies, whose hosts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.oracle.derive import Case, derive
from meshproof.rules.model import RuleSet

Read = Callable[[str], RuleSet]
HTTP = "port: {name: http, number: 80, protocol: HTTP}"
HTTPS = "port: {name: https, number: 443, protocol: HTTPS}"
CERTIFICATE = "credentialName: c"
REDIRECT = "tls: {httpsRedirect: true}"
USUAL, OWN = "istio: ingressgateway", "app: own"


def gateway(name: str, *servers: str, selector: str = USUAL) -> str:
    entries = "".join(f"\n  - {{{server}}}" for server in servers)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{{selector}}}
  servers:{entries}
"""


def rule(name: str, *gateways: str, host: str = "a.example", options: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ['{host}']
  gateways: [{", ".join(gateways)}]
  {options}
  http:
  - route: [{{destination: {{host: {name}}}}}]
"""


def cases(read: Read, *texts: str) -> dict[str, Case]:
    return {case.id.partition(": ")[2]: case for case in derive(read("".join(texts))).cases}


def tls(mode: str, host: str = "a.example", name: str = "https") -> str:
    port = HTTPS.replace("name: https", f"name: {name}")
    return f"hosts: ['{host}'], {port}, tls: {{mode: {mode}, {CERTIFICATE}}}"


@pytest.mark.parametrize(
    ("mode", "shows", "answer"),
    [("SIMPLE", False, None), ("MUTUAL", True, "no TLS"), ("OPTIONAL_MUTUAL", True, "a")],
)
def test_a_client_shows_a_certificate_where_the_gateway_asks(
    read: Read, mode: str, shows: bool, answer: str | None
) -> None:
    of = cases(read, gateway("gate", tls(mode)), rule("a", "gate"))
    call = of["any request -> a"].call
    assert call.tls is not None
    assert (call.tls.mode, call.tls.name, call.tls.shows_certificate) == (mode, "a.example", shows)
    without = [name for name in of if name.startswith("without a client certificate")]
    assert without == ([f"without a client certificate -> {answer}"] if answer else [])
    for name in without:
        client = of[name].call.tls
        assert client is not None
        assert not client.shows_certificate
        assert of[name].answer.refuses_tls == (answer == "no TLS")


def test_tls_for_a_name_of_no_server_is_refused(read: Read) -> None:
    of = cases(read, gateway("gate", tls("SIMPLE")), rule("a", "gate"))
    case = of["TLS for meshproof-other.example (no server has it) -> no TLS"]
    assert case.answer.refuses_tls
    assert case.call.host_header == "a.example"
    everybody = cases(read, gateway("gate", tls("SIMPLE", "*")), rule("a", "gate"))
    assert not any("no server" in name for name in everybody)


def test_tls_ends_at_the_server_with_the_narrowest_host(read: Read) -> None:
    gate = gateway("gate", tls("SIMPLE", "*.example"), tls("MUTUAL", "a.example", "narrow"))
    of = cases(read, gate, rule("a", "gate"))
    assert {case.call.tls.server for case in of.values() if case.call.tls} == {"shop/gate#1"}
    others = gateway("wide", tls("SIMPLE", "*.example")) + gateway("narrow", tls("SIMPLE"))
    (table, _) = derive(read(others + rule("a", "wide") + rule("b", "narrow"))).coverage
    assert table.reached == ()
    ((_, reason),) = table.unreached
    assert reason == "TLS for a.example ends at another server, that of shop/narrow"


def test_rules_of_one_host_at_two_servers_with_tls_are_no_rivals(read: Read) -> None:
    gates = gateway("a", tls("SIMPLE")) + gateway("b", tls("SIMPLE"), selector=OWN)
    of = cases(read, gates, rule("a", "a"), rule("b", "b"))
    assert {"any request -> a", "any request -> b"} <= set(of)


def test_a_plain_port_that_redirects_has_that_case_alone(read: Read) -> None:
    plain = f"hosts: [a.example], {HTTP}, {REDIRECT}"
    of = cases(read, gateway("gate", plain, tls("SIMPLE")), rule("a", "gate"))
    at_80 = {name: case for name, case in of.items() if case.call.port == 80}
    (name,) = at_80
    assert name == "any request in plain HTTP on port 80 -> 301 to https://a.example/"
    reply = at_80[name].answer.proxy_reply
    assert reply is not None
    assert (reply.status, reply.location) == (301, "https://a.example/")


def test_a_route_that_is_only_redirected_is_unreached(read: Read) -> None:
    plain = f"hosts: [a.example], {HTTP}, {REDIRECT}"
    (coverage,) = derive(read(gateway("gate", plain) + rule("a", "gate"))).coverage
    ((_, reason),) = coverage.unreached
    assert reason == (
        "shop/gate redirects every plain request for a.example to https, and no other port has the "
        "route"
    )


def test_a_redirect_holds_for_the_host_at_each_gateway_of_the_port(read: Read) -> None:
    redirecting = gateway("redirecting", f"hosts: ['*.example'], {HTTP}, {REDIRECT}")
    gate = gateway("gate", f"hosts: ['*.example'], {HTTP}")
    of = cases(read, redirecting, gate, rule("a", "gate"), rule("w", "gate", host="*.example"))
    assert "any request -> a" in of, "it has a virtual host of its own"
    assert "any request -> w" not in of, "the redirect has the same virtual host"


def test_each_proxy_is_asked_for_its_own_rules_and_not_for_those_of_others(read: Read) -> None:
    gates = gateway("usual", f"hosts: ['*'], {HTTP}")
    gates += gateway("own", f"hosts: ['*'], {HTTP}", selector=OWN)
    of = cases(read, gates, rule("a", "usual"), rule("b", "own", host="b.example"))
    assert of["any request -> a"].call.proxy.name == ""
    assert of["any request -> b"].call.proxy.name == "app=own"
    foreign = of["host b.example (at another proxy) -> 404"].call
    assert (foreign.proxy.name, foreign.host_header) == ("", "b.example")


def test_a_gateway_of_all_proxies_is_asked_at_each(read: Read) -> None:
    everywhere = gateway("all", f"hosts: ['*'], {HTTP}").replace(f"  selector: {{{USUAL}}}\n", "")
    own = gateway("own", f"hosts: [b.example], {HTTP}", selector=OWN)
    of = cases(read, everywhere, own, rule("a", "all"))
    assert {name for name in of if name.startswith("any request")} == {
        "any request at the usual proxy -> a",
        "any request at proxies with app=own -> a",
    }


def test_hosts_for_other_namespaces_are_not_those_of_a_rule(read: Read) -> None:
    gate = gateway("gate", f"hosts: [pay/b.example, ./a.example], {HTTP}")
    text = rule("a", "gate").replace("hosts: ['a.example']", "hosts: [a.example, b.example]")
    of = cases(read, gate, text)
    assert {name: case.call.host_header for name, case in of.items() if "namespaces" in name} == {
        "host b.example (for other namespaces) -> 404": "b.example"
    }
    assert {case.call.host for case in of.values() if case.shares} == {"a.example"}


def test_a_condition_on_the_scheme_holds_for_https(read: Read) -> None:
    gate = gateway("gate", f"hosts: [a.example], {HTTP}", tls("SIMPLE"))
    text = rule("a", "gate").replace("- route:", "- match: [{scheme: {exact: https}}]\n    route:")
    of = cases(read, gate, text)
    assert {case.call.port for case in of.values() if case.shares} == {443}
    assert any(case.call.port == 80 and case.status == 404 for case in of.values())


def test_a_redirect_of_a_route_keeps_https(read: Read) -> None:
    text = rule("a", "gate").replace("- route: [{destination: {host: a}}]", "- redirect: {uri: /b}")
    of = cases(read, gateway("gate", tls("SIMPLE")), text)
    replies = [case.answer.proxy_reply for name, case in of.items() if "301 to /b" in name]
    assert replies
    assert {reply.location for reply in replies if reply} <= {
        "https://a.example/b",
        "https://a.example/b?meshproof-other=1",
    }


def test_exports_to_a_proxy_whose_namespace_is_not_known_are_not_guessed(read: Read) -> None:
    gate = gateway("gate", f"hosts: [a.example], {HTTP}", selector=OWN)
    with pytest.raises(Exception, match="the namespace of the proxies of Gateway shop/gate"):
        read(gate + rule("a", "gate", options="exportTo: ['.']"))
