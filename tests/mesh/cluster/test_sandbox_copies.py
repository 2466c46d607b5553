"""Copies of requests in a sandbox, without a cluster: an echo's script, a sidecar's stand-in."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from meshproof.apps import echo_pod
from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.proxies.proxies import ADMIN_PORT, Proxy
from meshproof.mesh.cluster.sandbox.mirrored_copies import MirroredCopies

ACTIVE = "cluster.outbound|80||cart.upstream_rq_active: {}\n"


class Admin(BaseHTTPRequestHandler):
    """A sidecar's admin address: it answers what is left of `said`, the last again and again."""

    protocol_version = "HTTP/1.1"
    replies: tuple[str, ...] = ()
    requests = 0

    def do_GET(self) -> None:
        text = self.replies[min(Admin.requests, len(self.replies) - 1)].encode()
        Admin.requests += 1
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing."""


class Cluster:
    """Forwards to what listens here, by the port inside a pod."""

    def __init__(self, ports: dict[int, int]) -> None:
        self._ports = ports

    def open_port(self, pod: str, namespace: str, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._ports[port]))


def _echo() -> ThreadingHTTPServer:
    return echo_pod.make_server("cart.v1", 0, "127.0.0.1")


@pytest.fixture
def servers() -> Iterator[dict[int, int]]:
    """Ports inside a pod -> those of an echo and of an admin address that are here."""
    Admin.requests = 0
    with _echo() as echo, ThreadingHTTPServer(("127.0.0.1", 0), Admin) as admin:
        for server in (echo, admin):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield {
            echo_pod.PORT: int(echo.server_address[1]),
            ADMIN_PORT: int(admin.server_address[1]),
        }
        for server in (echo, admin):
            server.shutdown()


@pytest.fixture
def copies(servers: dict[int, int]) -> Iterator[MirroredCopies]:
    cluster: Any = Cluster(servers)
    mirrored_copies = MirroredCopies(
        cluster, {"cart.v1": ("ours", "cart-0")}, [Proxy("probe", "ours")]
    )
    yield mirrored_copies
    mirrored_copies.close()


def ask(servers: dict[int, int], value: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", servers[echo_pod.PORT])
    connection.request("GET", "/", headers={echo_pod.MIRROR_HEADER: value})
    connection.getresponse().read()
    connection.close()


def test_what_has_come_since_the_start(
    servers: dict[int, int], copies: MirroredCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admin, "replies", (ACTIVE.format(0),))
    for value in ("a-0", "a-1", "a-0"):
        ask(servers, value)
    assert copies.count() == Counter({("a-0", "cart.v1"): 2, ("a-1", "cart.v1"): 1})
    ask(servers, "a-1")
    for _ in range(2):
        assert copies.count() == Counter({("a-0", "cart.v1"): 2, ("a-1", "cart.v1"): 2})


def test_copies_that_are_on_their_way_are_waited_for(
    copies: MirroredCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admin, "replies", (ACTIVE.format(2), ACTIVE.format(1), ACTIVE.format(0)))
    assert copies.count() == Counter()
    assert Admin.requests == 3


@pytest.mark.parametrize(
    ("statistics", "message"),
    [(ACTIVE.format(1), "do not get anywhere"), ("", "none counts its requests")],
)
def test_a_sidecar_that_does_not_say_so(
    statistics: str, message: str, copies: MirroredCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "COPIES", 0.3)
    monkeypatch.setattr(Admin, "replies", (statistics,))
    with pytest.raises(NotReady, match=message):
        copies.count()
