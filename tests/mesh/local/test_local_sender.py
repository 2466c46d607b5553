"""Requests from this process: each lost one is told with the reason, not as a response."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.mesh.envoy.certificates import Authority, Identity
from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.protocol import Address, TlsClient

OK = b"HTTP/1.1 200 OK\r\nX-Seen: 1\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def send(address: Address, *requests: HttpRequest) -> list[HttpResponse | NoResponse]:
    return LocalSender().send(address, requests, workers=2, keep_alive=False)


def answer_each(listener: socket.socket, response: bytes, count: int) -> threading.Thread:
    """Answer this many connections with the same bytes, then close each."""

    def answer() -> None:
        for _ in range(count):
            connection, _peer = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_a_batch_has_its_responses_in_send_order(listener: socket.socket) -> None:
    requests = [HttpRequest("/a"), HttpRequest("/b"), HttpRequest("/c")]
    thread = answer_each(listener, OK, 3)
    responses = send(Address(*listener.getsockname()), *requests)
    thread.join(10)
    assert [
        (response.request, response.status, response.headers["x-seen"], response.text)
        for response in responses
        if isinstance(response, HttpResponse)
    ] == [(request, 200, "1", "ok") for request in requests]


def test_a_connection_that_closes_without_a_response_has_ended(listener: socket.socket) -> None:
    thread = answer_each(listener, b"", 1)
    (outcome,) = send(Address(*listener.getsockname()), HttpRequest("/"))
    thread.join(10)
    assert isinstance(outcome, NoResponse)
    assert outcome.reason is LossReason.ENDED


def test_a_response_that_takes_too_long_is_late(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "REQUEST", 0.2)
    (outcome,) = send(Address(*listener.getsockname()), HttpRequest("/"))
    assert isinstance(outcome, NoResponse)
    assert outcome.reason is LossReason.LATE


def send_by_tls(listener: socket.socket, client: TlsClient) -> list[HttpResponse | NoResponse]:
    host, port = listener.getsockname()
    return send(Address(host, port, tls_client=client), HttpRequest("/"))


def answer_by_tls(
    listener: socket.socket, certificate: Identity, client_ca: Path | None = None
) -> threading.Thread:
    """Answer one connection by TLS, and none without a certificate of `client_ca`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)

    def answer() -> None:
        connection, _peer = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(OK)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("a.example", "200"), ("b.example", "wrong certificate")],
)
def test_tls_takes_a_certificate_for_the_name_that_is_asked_for(
    listener: socket.socket, tmp_path: Path, name: str, outcome: str
) -> None:
    authority = Authority(tmp_path / "certificates")
    thread = answer_by_tls(listener, authority.issue_for_names("a", ["a.example"]))
    client = TlsClient(name, authority.certificate)
    (answer,) = send_by_tls(listener, client)
    thread.join(10)
    seen = answer.reason if isinstance(answer, NoResponse) else answer.status
    assert str(seen) == outcome


def test_tls_takes_no_certificate_of_another_authority(
    listener: socket.socket, tmp_path: Path
) -> None:
    own, other = Authority(tmp_path / "own"), Authority(tmp_path / "other")
    thread = answer_by_tls(listener, other.issue_for_names("a", ["a.example"]))
    client = TlsClient("a.example", own.certificate)
    (answer,) = send_by_tls(listener, client)
    thread.join(10)
    assert isinstance(answer, NoResponse)
    assert answer.reason is LossReason.WRONG_CERTIFICATE


@pytest.mark.parametrize("shows", [True, False])
def test_tls_shows_the_certificate_of_the_client(
    listener: socket.socket, tmp_path: Path, shows: bool
) -> None:
    authority = Authority(tmp_path / "certificates")
    own = authority.issue_for_names("client", ["client.example"])
    server = authority.issue_for_names("a", ["a.example"])
    thread = answer_by_tls(listener, server, authority.certificate)
    client = TlsClient("a.example", authority.certificate)
    if shows:
        client = replace(client, certificate=own.chain, key=own.key)
    (answer,) = send_by_tls(listener, client)
    thread.join(10)
    if shows:
        assert isinstance(answer, HttpResponse)
    else:
        assert isinstance(answer, NoResponse)
        assert answer.reason in (LossReason.NO_TLS, LossReason.ENDED)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", LossReason.REFUSED),
        ("nobody.invalid", LossReason.UNKNOWN_HOST),
    ],
)
def test_nobody_there_is_refused_or_unknown(host: str, reason: LossReason) -> None:
    (outcome,) = send(Address(host, 9), HttpRequest("/"))
    assert isinstance(outcome, NoResponse)
    assert outcome.reason is reason
    assert str(outcome).startswith(f"{reason}: ")


def test_a_request_is_sent_once_where_its_kept_connection_closes(listener: socket.socket) -> None:
    received: list[bytes] = []

    def answer() -> None:
        connection, _peer = listener.accept()
        with connection:
            received.append(connection.recv(65536))
            connection.sendall(OK)
            received.append(connection.recv(65536))
        listener.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            connection, _peer = listener.accept()
            with connection:
                received.append(connection.recv(65536))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    sender = LocalSender()
    address = Address(*listener.getsockname())
    (first,) = sender.send(address, [HttpRequest("/first")], workers=1, keep_alive=True)
    (second,) = sender.send(address, [HttpRequest("/second")], workers=1, keep_alive=True)
    thread.join(10)
    assert isinstance(first, HttpResponse)
    assert isinstance(second, NoResponse)
    assert second.reason is LossReason.ENDED
    assert [request.split()[1] for request in received if request] == [b"/first", b"/second"]


def read_request(listener: socket.socket, request: HttpRequest) -> list[str]:
    """Send a request; return the lines of its head, as they arrived."""
    received: list[bytes] = []

    def answer() -> None:
        connection, _peer = listener.accept()
        with connection:
            received.append(connection.recv(65536))
            connection.sendall(OK)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    send(Address(*listener.getsockname()), request)
    thread.join(10)
    return received[0].decode().rstrip().split("\r\n")


def test_a_request_arrives_as_it_is_written(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert read_request(listener, HttpRequest("/a%2fb/../c?d=[1]")) == [
        "GET /a%2fb/../c?d=[1] HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: meshproof",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    headers = (("Host", "shop.test"), ("x-a", "1"), ("X-A", "2"), ("x-empty", ""), ("accept", "é"))
    omitted = ("user-agent", "accept-encoding")
    request = HttpRequest("/", headers, method="POST", omitted_headers=omitted)
    assert read_request(listener, request) == [
        "POST / HTTP/1.1",
        "Host: shop.test",
        "x-a: 1",
        "X-A: 2",
        "x-empty:",
        "accept: é",
        "Content-Length: 0",
        "Connection: close",
    ]


def test_a_broken_header_is_not_sent(listener: socket.socket) -> None:
    with pytest.raises(ValueError, match="several lines"):
        send(Address(*listener.getsockname()), HttpRequest("/", (("x-a", "1\r\nx-b: 2"),)))


def test_headers_of_one_name_are_joined_and_those_of_status_1xx_left(
    listener: socket.socket,
) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
    last = b"HTTP/1.1 200 O: K\r\nx-a: 1\r\nX-A:2\r\ncontent-length: 0\r\n\r\n"
    thread = answer_each(listener, early + last, 1)
    (response,) = send(Address(*listener.getsockname()), HttpRequest("/"))
    thread.join(10)
    assert isinstance(response, HttpResponse)
    assert (response.status, response.headers) == (200, {"x-a": "1, 2", "content-length": "0"})


def test_a_head_without_a_body_is_a_whole_response(listener: socket.socket) -> None:
    thread = answer_each(listener, OK.removesuffix(b"ok"), 1)
    (response,) = send(Address(*listener.getsockname()), HttpRequest("/", method="HEAD"))
    thread.join(10)
    assert isinstance(response, HttpResponse)
    assert (response.status, response.body) == (200, b"")


def test_the_time_of_a_response_is_not_that_of_its_reader(listener: socket.socket) -> None:
    thread = answer_each(listener, OK, 3)
    requests = iter([HttpRequest("/")] * 3)
    address = Address(*listener.getsockname())
    responses = []
    stream = LocalSender().stream(address, requests, workers=1, keep_alive=False, ahead=2)
    with contextlib.closing(stream):
        for _ in range(3):
            responses.append(next(stream))
            time.sleep(0.5)
    thread.join(10)
    assert all(isinstance(one, HttpResponse) and one.seconds < 0.4 for one in responses)


def test_a_signal_is_looked_at_while_a_response_is_awaited(listener: socket.socket) -> None:
    def raise_error(_number: int, _frame: object) -> None:
        raise RuntimeError("the alarm")

    former = signal.signal(signal.SIGALRM, raise_error)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(RuntimeError, match="the alarm"):
            send(Address(*listener.getsockname()), HttpRequest("/"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
