"""The server base: its line, its end, keep-alive and what it makes of bad input."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.apps.conftest import App, Start


def raw(app: App, *messages: bytes) -> bytes:
    """Send all messages on one connection, end the sending half, return all that came."""
    with socket.create_connection(("127.0.0.1", app.port), 5) as sock:
        sock.sendall(b"".join(messages))
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_announces_its_real_port_and_nothing_else(start: Start) -> None:
    app = start("bookinfo", "ratings")
    assert app.line == f"listening on 127.0.0.1:{app.port}\n"
    assert app.ask("/ratings/0").status == 200
    assert app.stop() == (0, "", "")


def test_access_log_is_one_line_a_request_when_asked_for(start: Start) -> None:
    app = start("bookinfo", "ratings", ACCESS_LOG="1")
    app.ask("/ratings/0")
    app.ask("/nothing")
    lines = app.stop()[1].splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["GET", "/ratings/0", "200"],
        ["GET", "/nothing", "404"],
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_at_once_even_with_a_client_connected(
    start: Start, number: signal.Signals
) -> None:
    app = start("echo")
    with socket.create_connection(("127.0.0.1", app.port)):
        app.process.send_signal(number)
        assert app.process.wait(2) == 0
    assert app.stop() == (0, "", "")


def test_taken_port_is_one_clear_line_and_exit_code_1(start: Start) -> None:
    first = start("echo")
    second = start("echo", PORT=str(first.port))
    assert second.line == ""
    assert second.process.wait(5) == 1
    assert second.stop()[2] == (
        f"cannot listen on 127.0.0.1:{first.port}: Address already in use\n"
    )


@pytest.mark.parametrize("port", ["nine", "70000"])
def test_port_that_is_none_is_told_too(start: Start, port: str) -> None:
    app = start("echo", PORT=port)
    assert app.process.wait(5) == 1
    (line,) = app.stop()[2].splitlines()
    assert line.startswith(f"cannot listen on 127.0.0.1:{port}: ")


def test_unknown_role_is_a_usage_error(start: Start) -> None:
    app = start("bookinfo", "review")
    assert app.process.wait(5) == 64
    assert "productpage, details, reviews, ratings, not 'review'" in app.stop()[2]


def test_health_and_identity(start: Start) -> None:
    answer = start("bookinfo", "details", HOSTNAME="details-v1-x", SERVICE_VERSION="v1").ask(
        "/health"
    )
    assert (answer.status, answer.text) == (200, '{"status": "details-v1-x is healthy"}')
    assert answer.headers["x-served-by"] == "details-v1-x"
    assert answer.headers["x-served-version"] == "v1"


def test_keep_alive_and_pipelining_on_one_connection(start: Start) -> None:
    app = start("bookinfo", "ratings")
    template = b"GET /ratings/%d HTTP/1.1\r\nhost: ratings\r\n\r\n"
    got = raw(app, template % 1, template % 2, template % 3)
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.index(b'{"id": 1') < got.index(b'{"id": 2') < got.index(b'{"id": 3')


def test_chunked_body_and_expect_continue(start: Start) -> None:
    head = b"POST /login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
    got = raw(
        start("bookinfo", "productpage"),
        head + b"expect: 100-continue\r\n\r\n9\r\nusername=\r\n4\r\nburr\r\n0\r\n\r\n",
    )
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found")
    assert b"set-cookie: user=burr;" in got


def test_header_that_comes_twice_is_joined(start: Start) -> None:
    twice = b"cookie: a=b\r\nx-tag: 1\r\nCookie: user=burr\r\nX-Tag: 2\r\n"
    got = raw(start("echo"), b"GET / HTTP/1.1\r\n" + twice + b"\r\n")
    assert b'"cookie": "a=b; user=burr", "x-tag": "1, 2"' in got


def test_head_has_no_body_and_close_is_honoured(start: Start) -> None:
    app = start("bookinfo", "ratings")
    head = b"HEAD /ratings/0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    got = raw(app, head, head)
    assert got.count(b"HTTP/1.1 200 OK") == 1
    assert got.endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"hello\r\n\r\n", b"malformed request line"),
        (b"GET / HTTP/1.1\r\nhost x\r\n\r\n", b"malformed header line"),
        (b"GET / HTTP/1.1\r\ncookie: a\nx: y\r\n\r\n", b"a bare CR or LF"),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"malformed content-length"),
        (b"GET / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n", b"longer than 4 MiB"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70000, b"longer than 64 KiB"),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"malformed chunk"),
    ],
)
def test_bad_input_is_answered_400_and_harms_nobody(
    start: Start, message: bytes, reason: bytes
) -> None:
    app = start("echo")
    got = raw(app, message)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert reason in got
    assert app.ask("/").status == 200
