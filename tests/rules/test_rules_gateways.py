"""Gateways: ports and hosts are read; a server that we cannot stand up is refused by name."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import Gateway, Server

HEAD = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entry, namespace: shop}
spec:
"""
SELECTOR = "  selector: {istio: ingressgateway}\n"
PORT = "port: {name: http, number: 80, protocol: HTTP}"


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
    "another gateway": (
        f"{HEAD}  selector: {{istio: egressgateway}}\n  servers: []",
        "5:13: spec.selector: only 'istio: ingressgateway' is supported",
    ),
    "narrower selector": (
        f"{HEAD}  selector: {{istio: ingressgateway, zone: a}}\n  servers: []",
        "5:13: spec.selector: only 'istio: ingressgateway' is supported",
    ),
    "no servers": (
        f"{HEAD}{SELECTOR}  servers: []",
        "6:12: spec.servers: expected at least one server, found a list",
    ),
    "no hosts": (
        server(f"{{hosts: [], {PORT}}}"),
        "7:13: spec.servers[0].hosts: expected at least one host, found a list",
    ),
    "hosts of one namespace": (
        server(f"{{hosts: [shop/a.example.com], {PORT}}}"),
        "7:14: spec.servers[0].hosts[0]: a namespace of its rules is not supported yet",
    ),
    "hosts of its own namespace": (
        server(f"{{hosts: [./a.example.com], {PORT}}}"),
        "7:14: spec.servers[0].hosts[0]: a namespace of its rules is not supported yet",
    ),
    "TLS": (
        server("{hosts: ['*'], port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE}}"),
        "7:58: spec.servers[0].tls is not supported yet",
    ),
    "protocol": (
        server("{hosts: ['*'], port: {number: 27017, protocol: MONGO}}"),
        "7:52: spec.servers[0].port.protocol: MONGO is not supported yet",
    ),
    "no such protocol": (
        server("{hosts: ['*'], port: {number: 80, protocol: http}}"),
        "7:49: spec.servers[0].port.protocol: 'http' is not one of HTTP, HTTP2, GRPC, GRPC-WEB, "
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
