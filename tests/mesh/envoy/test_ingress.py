"""The ingress of the local mesh while its Gateways change: what listens where."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshproof.documents.value import At
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import find_binary
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.process.processes import Workspace
from meshproof.rules.model import Gateway, Server, TlsMode


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    """An ingress that runs, without listeners."""
    with Workspace.create() as workspace:
        ingress = Ingress(workspace, find_binary(None), Authority(workspace.path / "ca"))
        ingress.start()
        yield ingress


def make_gateway(*hosts: str, name: str = "shop/entry", tls: TlsMode | None = "SIMPLE") -> Gateway:
    server = Server(443 if tls else 80, hosts, tls=tls)
    return Gateway(name, (server,), At("gateway.yaml", 1))


def list_names(ingress: Ingress) -> list[str]:
    """Return the names that clients with TLS may ask for, in order."""
    return [
        name
        for listener in ingress.envoy.get_served("lds")
        for chain in listener["filter_chains"]
        for name in chain.get("filter_chain_match", {}).get("server_names", ())
    ]


def test_a_server_where_tls_ends_follows_its_gateway(ingress: Ingress) -> None:
    # Two chains for one name are refused by Envoy: the former one must go.
    expected: list[tuple[Gateway, list[str]]] = [
        (make_gateway("a.example"), ["a.example"]),
        (make_gateway("b.example"), ["b.example"]),
        (make_gateway("b.example", name="shop/other"), ["b.example"]),
        (make_gateway("b.example", tls=None), []),
    ]
    for gateway, names in expected:
        ingress.open([gateway])
        assert list_names(ingress) == names


def test_a_server_for_every_host_that_no_request_is_for_listens(ingress: Ingress) -> None:
    # Found by generated sets: Envoy takes no certificate without a name.
    ingress.open([make_gateway("*")])
    assert ingress.address(443).port


def test_a_new_listener_takes_no_port_of_one_that_is_replaced(ingress: Ingress) -> None:
    # Found by seed 2026120314, set 3: both were at the same port, so that TLS met plain HTTP.
    ingress.open([make_gateway("a.example")])
    ingress.open([make_gateway("b.example"), make_gateway("*", name="shop/plain", tls=None)])
    assert ingress.address(443) != ingress.address(80)
