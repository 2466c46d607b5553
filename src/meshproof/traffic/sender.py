"""Sends the requests of a sample, again those that get no response, and counts these."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from meshproof.base.errors import NotReady, TlsFailed
from meshproof.mesh.http import (
    HttpRequest,
    HttpResponse,
    LossReason,
    NoResponse,
    Sender,
    StreamingSender,
)
from meshproof.mesh.protocol import Address

#: How often a request is sent until it gets a response. More would hide a mesh that loses some.
_MAX_ATTEMPTS = 3
#: Why no response comes where no TLS does. A client without a certificate may see its end alone.
_NO_TLS = (LossReason.NO_TLS, LossReason.WRONG_CERTIFICATE, LossReason.ENDED)


@dataclass(frozen=True)
class Sampling:
    """How requests are sent: in batches, `workers` at a time, over kept-alive or fresh connections.

    `clients` is the number of source addresses (127.0.0.1, 127.0.0.2, ...) that take turns, for
    meshes that keep a client with one version; loopback has more than one on Linux only. A batch
    is judged whole, in send order: judging responses as they arrive would count the faster version
    too often. `errors_allowed` requests may get no response at all (each is sent again at most
    twice); they are counted and never judged.
    """

    workers: int = 4
    keep_alive: bool = True
    clients: int = 1
    batch: int = 10
    errors_allowed: int = 5

    def __str__(self) -> str:
        connections = "kept-alive" if self.keep_alive else "fresh"
        clients = "1 client" if self.clients == 1 else f"{self.clients} clients in turn"
        return (
            f"batches of {self.batch}, {self.workers} at a time, {connections} connections, "
            f"{clients}"
        )


class RetryingSender:
    """Sends the requests of one sample by `sender`, marked with `run_id`, and counts lost ones."""

    def __init__(self, address: Address, run_id: str, sampling: Sampling, sender: Sender) -> None:
        self.transport_errors = 0
        self._address = address
        self._run_id = run_id
        self._sampling = sampling
        self._sender = sender

    @property
    def is_near(self) -> bool:
        """True where requests can be sent while responses are read; see `stream`."""
        return isinstance(self._sender, StreamingSender)

    def build_curl(self, request: HttpRequest) -> str:
        """Return the command line that sends a request from where this sends it."""
        return self._sender.describe_command(request.build_curl(self._address))

    def send(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        """Send requests, again those that get no response; return the responses in send order.

        Raises NotReady when one never gets a response, or when too many got none.
        """
        attempts = [request.with_next_number() for request in requests]
        outcomes = self._send_once(attempts)
        return [
            self._ensure_response(*attempt)
            for attempt in zip(requests, attempts, outcomes, strict=True)
        ]

    def stream(self, requests: Iterator[HttpRequest]) -> Generator[HttpResponse]:
        """Send endless requests as `send` does, and yield the responses; see `StreamingSender`."""
        if not isinstance(self._sender, StreamingSender):
            raise TypeError("this sender takes whole batches only")
        attempts: deque[tuple[HttpRequest, HttpRequest]] = deque()

        def mark_requests() -> Iterator[HttpRequest]:
            for request in requests:
                attempt = request.with_next_number()
                attempts.append((request, attempt))
                yield attempt.for_run(self._address, self._run_id)

        ahead = max(self._sampling.batch, self._sampling.workers)
        outcomes = self._sender.stream(
            self._address,
            mark_requests(),
            self._sampling.workers,
            self._sampling.keep_alive,
            ahead,
        )
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                yield self._ensure_response(*attempts.popleft(), outcome)

    def _ensure_response(
        self, request: HttpRequest, attempt: HttpRequest, outcome: HttpResponse | NoResponse
    ) -> HttpResponse:
        """Return the response of an attempt at a request, if need be after further ones."""
        for _attempt in range(_MAX_ATTEMPTS - 1):
            if isinstance(outcome, HttpResponse):
                break
            self._count_lost_request(attempt, outcome)
            attempt = request.with_next_number()
            (outcome,) = self._send_once([attempt])
        if isinstance(outcome, NoResponse):
            self._require_tls(attempt, outcome)
            raise NotReady(f"{self._address.url}{attempt.path}: no answer: {outcome}")
        return replace(outcome, request=attempt)

    def _require_tls(self, request: HttpRequest, outcome: NoResponse) -> None:
        """Raise TlsFailed if a request got no response because no TLS came about."""
        client = self._address.tls_client
        if client is not None and outcome.reason in _NO_TLS:
            raise TlsFailed(
                f"no TLS for {client.name} on port {self._address.port}: {outcome}",
                str(outcome),
                self.build_curl(request),
                outcome.reason is not LossReason.WRONG_CERTIFICATE,
            )

    def _send_once(self, requests: Sequence[HttpRequest]) -> list[HttpResponse | NoResponse]:
        """Send requests once, marked; return what became of each."""
        return self._sender.send(
            self._address,
            [request.for_run(self._address, self._run_id) for request in requests],
            self._sampling.workers,
            self._sampling.keep_alive,
        )

    def _count_lost_request(self, request: HttpRequest, outcome: NoResponse) -> None:
        """Count a request without a response. Raises NotReady when there are too many."""
        self.transport_errors += 1
        if self.transport_errors > self._sampling.errors_allowed:
            self._require_tls(request, outcome)
            raise NotReady(
                f"{self._address.url}: {self.transport_errors} requests got no answer at all "
                f"(allowed: {self._sampling.errors_allowed}); they are never judged as versions"
            )
