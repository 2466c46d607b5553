"""What is left out of a folder follows from an error's path, never from the words of its text."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Absent, BadRules
from meshproof.documents.manifest import Document, parse
from meshproof.rules.reading import collect_rules
from meshproof.user_rules.excluded import Excluded
from meshproof.user_rules.gateway_parts import reduce_gateway
from meshproof.user_rules.protocol_parts import keep_http_routes

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http: [{route: [{destination: {host: shop}}]}]
  tls: [{match: [{sniHosts: [shop]}], route: [{destination: {host: shop}}]}]
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: [a.example], port: {number: 80, name: http, protocol: HTTP}}
  - {hosts: [b.example], port: {number: 3306, name: db, protocol: TCP}}
"""


def read(text: str) -> tuple[Document, tuple[BadRules, ...]]:
    """Return an object and what is wrong with it."""
    (document,) = parse(text, "r.yaml")
    return document, collect_rules([document]).problems


def test_routes_of_tls_go_by_the_path_of_the_error() -> None:
    document, (error,) = read(VIRTUAL_SERVICE)
    assert error.path == "spec.tls"
    error.reason = "other words"
    reduced = keep_http_routes(document, [error])
    assert reduced is not None
    assert "tls" not in reduced.spec.mapping()
    named_alike = document.at.unsupported("spec.tls is not supported yet")
    assert keep_http_routes(document, [named_alike]) is None


def test_a_server_goes_by_the_path_of_the_error() -> None:
    document, (error,) = read(GATEWAY)
    assert error.path == "spec.servers[1].port.protocol"
    error.reason = "other words"
    reduced = reduce_gateway(document, [error])
    assert reduced is not None
    assert [server.path for server in reduced.removed] == ["spec.servers[1]"]
    assert reduce_gateway(document, [document.at.unsupported("spec.servers[1]: no")]) is None


def test_the_field_of_what_is_excluded_is_a_path() -> None:
    document, _ = read(GATEWAY)
    entry = Excluded.of_document(document, "spec.http: words", path="spec.servers[1].port")
    assert entry.field == "spec.servers.port"
    assert Excluded.of_document(document, "spec.http: words").field == ""


@pytest.mark.parametrize(
    ("line", "path"), [("  hosts: [shop]\n", "spec"), ("  http: [{route", "spec.http")]
)
def test_what_is_not_there_is_an_error_of_its_own_kind(line: str, path: str) -> None:
    text = VIRTUAL_SERVICE.partition("  tls:")[0]
    text = text.replace(line, "" if path == "spec" else "  http: []\n# {route")
    _, (error,) = read(text)
    assert isinstance(error, Absent), error
    assert error.path == path
