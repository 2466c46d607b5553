"""Requests from this process: each lost one is told with the reason, not as a response."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from meshproof.base import timeouts
from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.protocol import Address

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
