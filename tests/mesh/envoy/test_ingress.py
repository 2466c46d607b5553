"""The ingress of the local mesh while its Gateways change: what listens where."""

from __future__ import annotations

import itertools
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


def list_names(ingress: Ingress) -> list[list[str]]:
    """Return the names that each listener for TLS is asked for, in order."""
    return [
        [
            name
            for chain in listener["filter_chains"]
            for name in chain["filter_chain_match"].values()
        ]
        for listener in ingress.envoy.get_served("lds")
        if "server_names" in str(listener)
    ]


def test_a_server_where_tls_ends_follows_its_gateway(ingress: Ingress) -> None:
    # Two chains for one name are refused by Envoy: the former one must go.
    for gateway, names in (
        (make_gateway("a.example"), [["a.example"]]),
        (make_gateway("b.example"), [["b.example"]]),
        (make_gateway("b.example", name="shop/other"), [["b.example"]]),
        (make_gateway("b.example", tls=None), []),
    ):
        ingress.open([gateway])
        assert list(itertools.chain(*list_names(ingress))) == names


def test_a_server_for_every_host_that_no_request_is_for_listens(ingress: Ingress) -> None:
    # Found by generated sets: Envoy takes no certificate without a name.
    ingress.open([make_gateway("*")])
    assert ingress.address(443).port
