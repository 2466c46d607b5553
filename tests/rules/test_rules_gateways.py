"""Gateways: ports and hosts are read; a server that we cannot stand up is refused by name."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import INGRESS, Gateway, Proxy, RuleSet, Server

HEAD = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entry, namespace: shop}
spec:
"""
SELECTOR = "  selector: {istio: ingressgateway}\n"
PORT = "port: {name: http, number: 80, protocol: HTTP}"
HTTPS = "port: {number: 443, protocol: HTTPS}"
FILES = "serverCertificate: /a.pem, privateKey: /a.key"


def refused(text: str) -> str:
    with pytest.raises(BadRules) as error:
        rules.read_rules(manifest.parse(text, "g.yaml"))
    return str(error.value)


def test_every_server_is_read() -> None:
    text = (
        f"{HEAD}{SELECTOR}  servers:\n"
        f"  - {{name: one, hosts: ['*'], {PORT}}}\n"
        "  - {hosts: [a.example.com, '*/*.b.example.com'], port: {number: 8080, protocol: HTTP2}}\n"
    )
    parsed = rules.read_rules(manifest.parse(text, "g.yaml"))
    assert parsed.gateways == (
        Gateway(
            "shop/entry",
            (Server(80, ("*",)), Server(8080, ("a.example.com", "*.b.example.com"))),
            At("", 0),
        ),
    )
    assert parsed.gateways[0].at == At("g.yaml", 1, 1)
    assert parsed.dialect == ""


def server(text: str) -> str:
    return f"{HEAD}{SELECTOR}  servers:\n  - {text}\n"


REFUSED = {
    "no servers": (
        f"{HEAD}{SELECTOR}  servers: []",
        "6:12: spec.servers: expected at least one server, found a list",
    ),
    "no hosts": (
        server(f"{{hosts: [], {PORT}}}"),
        "7:13: spec.servers[0].hosts: expected at least one host, found a list",
    ),
    "TLS without a certificate": (
        server(f"{{hosts: ['*'], {HTTPS}, tls: {{mode: SIMPLE}}}}"),
        "7:63: spec.servers[0].tls: SIMPLE needs a certificate: credentialName, or "
        "serverCertificate and privateKey",
    ),
    "TLS of clients that nobody knows": (
        server(f"{{hosts: ['*'], {HTTPS}, tls: {{mode: MUTUAL, {FILES}}}}}"),
        "7:63: spec.servers[0].tls: MUTUAL needs caCertificates, to know its clients by",
    ),
    "HTTPS without TLS": (
        server(f"{{hosts: ['*'], {HTTPS}}}"),
        "7:5: spec.servers[0]: expected `tls`, which a port of HTTPS needs, found a mapping",
    ),
    "HTTP with TLS": (
        server(f"{{hosts: ['*'], {PORT}, tls: {{mode: SIMPLE, credentialName: c}}}}"),
        "7:73: spec.servers[0].tls: a port of HTTP takes no TLS but httpsRedirect",
    ),
    "TLS that goes on": (
        server(f"{{hosts: ['*'], {HTTPS}, tls: {{mode: PASSTHROUGH}}}}"),
        "7:70: spec.servers[0].tls.mode: PASSTHROUGH is not supported yet",
    ),
    "TLS of the mesh": (
        server(f"{{hosts: ['*'], {HTTPS}, tls: {{mode: ISTIO_MUTUAL}}}}"),
        "7:70: spec.servers[0].tls.mode: ISTIO_MUTUAL is not supported yet",
    ),
    "protocol": (
        server("{hosts: ['*'], port: {number: 27017, protocol: MONGO}}"),
        "7:52: spec.servers[0].port.protocol: MONGO is not supported yet",
    ),
    "no such protocol": (
        server("{hosts: ['*'], port: {number: 80, protocol: htp}}"),
        "7:49: spec.servers[0].port.protocol: 'htp' is not one of HTTP, HTTP2, GRPC, GRPC-WEB, "
        "HTTPS, TLS, TCP, MONGO",
    ),
    "target port": (
        server("{hosts: ['*'], port: {number: 80, targetPort: 8080, protocol: HTTP}}"),
        "7:39: spec.servers[0].port.targetPort is not supported yet",
    ),
    "bind": (
        server(f"{{bind: 127.0.0.1, hosts: ['*'], {PORT}}}"),
        "7:6: spec.servers[0].bind is not supported yet",
    ),
    "unknown key": (
        server(f"{{host: ['*'], {PORT}}}"),
        "7:6: spec.servers[0].host: unknown key 'host'; did you mean 'hosts'?",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text) == f"g.yaml:{message}"


def read(*servers: str, selector: str = SELECTOR, name: str = "entry") -> RuleSet:
    entries = "".join(f"  - {text}\n" for text in servers)
    head = HEAD.replace("name: entry", f"name: {name}")
    return rules.read_rules(manifest.parse(f"{head}{selector}  servers:\n{entries}", "g.yaml"))


def test_tls_that_ends_at_the_gateway_is_read() -> None:
    secret = "credentialName: c"
    modes = {"SIMPLE": secret, "MUTUAL": secret, "OPTIONAL_MUTUAL": f"{FILES}, caCertificates: /c"}
    servers = [
        f"{{hosts: [{mode.lower()}.example], {HTTPS}, tls: {{mode: {mode}, {certificate}}}}}"
        for mode, certificate in modes.items()
    ]
    (gateway,) = read(*servers).gateways
    assert [(server.tls, server.redirects_to_https) for server in gateway.servers] == [
        (mode, False) for mode in modes
    ]


def test_a_redirect_to_https_is_read() -> None:
    (gateway,) = read(f"{{hosts: [a.example], {PORT}, tls: {{httpsRedirect: true}}}}").gateways
    assert gateway.servers == (Server(80, ("a.example",), redirects_to_https=True),)


def test_hosts_are_for_the_rules_of_their_namespace() -> None:
    hosts = "[./a.example, pay/b.example, '*/c.example', d.example]"
    (gateway,) = read(f"{{hosts: {hosts}, {PORT}}}").gateways
    (server,) = gateway.servers
    assert server.hosts_for("shop") == ("a.example", "c.example", "d.example")
    assert server.hosts_for("pay") == ("b.example", "c.example", "d.example")


def test_a_protocol_may_be_written_in_any_case() -> None:
    (gateway,) = read("{hosts: ['*'], port: {number: 80, protocol: http}}").gateways
    assert gateway.servers == (Server(80, ("*",)),)


def test_each_selector_has_a_proxy_of_its_own_and_those_with_more_labels() -> None:
    entry = f"{{hosts: ['*'], {PORT}}}"
    selectors = {
        "usual": "  selector: {istio: ingressgateway}\n",
        "labelled": "  selector: {istio: ingressgateway, app: istio-ingressgateway}\n",
        "own": "  selector: {app: own}\n",
        "zone": "  selector: {app: own, zone: a}\n",
        "everywhere": "",
    }
    texts = [
        HEAD.replace("name: entry", f"name: {name}") + f"{selector}  servers:\n  - {entry}\n"
        for name, selector in selectors.items()
    ]
    gateways = rules.read_rules(manifest.parse("---\n".join(texts), "g.yaml")).gateways
    own = Proxy("app=own", labels=(("app", "own"),))
    zone = Proxy("app=own,zone=a", labels=(("app", "own"), ("zone", "a")))
    assert {gateway.name.removeprefix("shop/"): gateway.proxies for gateway in gateways} == {
        "usual": (INGRESS,),
        "labelled": (INGRESS,),
        "own": (own, zone),
        "zone": (zone,),
        "everywhere": (INGRESS, own, zone),
    }


TLS = "{hosts: [HOSTS], port: {name: NAME, number: 443, protocol: HTTPS}, tls: MODE}"
MODE = "{mode: SIMPLE, credentialName: c}"


def write_tls(name: str, hosts: str) -> str:
    return TLS.replace("NAME", name).replace("HOSTS", hosts).replace("MODE", MODE)


def test_tls_for_a_host_ends_at_one_server_of_a_port() -> None:
    servers = [write_tls("one", "a.example, b.example"), write_tls("two", "c.example, b.example")]
    with pytest.raises(BadRules) as error:
        read(*servers)
    assert str(error.value) == (
        "g.yaml:8:43: TLS for b.example on port 443 ends at g.yaml:7: istiod leaves this server out"
    )
    assert read(servers[0], write_tls("two", "'*.b.example'"))


def test_a_port_speaks_tls_or_plain_http() -> None:
    plain = "{hosts: [c.example], port: {name: http, number: 443, protocol: HTTP}}"
    with pytest.raises(BadRules, match=r"port 443 speaks TLS at g\.yaml:7"):
        read(write_tls("one", "a.example"), plain)
    with pytest.raises(BadRules, match=r"port 443 speaks plain HTTP at g\.yaml:7"):
        read(plain, write_tls("one", "a.example"))


def test_servers_of_other_proxies_do_not_collide() -> None:
    first, second = (
        HEAD.replace("name: entry", f"name: {name}")
        + f"  selector: {{app: {name}}}\n  servers:\n  - {write_tls('one', 'a.example')}\n"
        for name in ("one", "two")
    )
    assert len(rules.read_rules(manifest.parse(f"{first}---\n{second}", "g.yaml")).gateways) == 2
