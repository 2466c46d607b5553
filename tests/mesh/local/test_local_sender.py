"""Requests from this process: each lost one is told with the reason, not as a response."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
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
