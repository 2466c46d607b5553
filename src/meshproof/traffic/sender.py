"""Sends requests over HTTP connections or through a remote sender, and counts the lost ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.protocol import Address, Answer, Asked, Sender
from meshproof.traffic.http import RUN_HEADER, Request, Visit

if TYPE_CHECKING:
    import urllib3

#: How often a request is sent until it gets a response. More would hide a mesh that loses some.
_MAX_ATTEMPTS = 3
#: Headers that urllib3 adds by itself.
_URLLIB3_HEADERS = ("accept-encoding", "user-agent")


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


#: Kept-alive connections by address, client and number of workers.
Pools = dict[tuple[Address, int, int], "urllib3.HTTPConnectionPool"]


class RequestSender:
    """Sends the requests of one sample to one address, marked with `run_id`.

    `send` uses connections of this process, from `pools`, which samples may share. `send_remotely`
    lets `remote_sender` send a whole batch from elsewhere.
    """

    def __init__(
        self,
        address: Address,
        run_id: str,
        sampling: Sampling,
        pools: Pools | None = None,
        remote_sender: Sender | None = None,
    ) -> None:
        self.address = address
        self.remote_sender = remote_sender
        self.transport_errors = 0
        self._run_id = run_id
        self._sampling = sampling
        self._pools: Pools = {} if pools is None else pools

    def build_curl(self, request: Request) -> str:
        """Return the command line that sends a request from where this sends it."""
        curl = request.build_curl(self.address)
        return self.remote_sender.describe_command(curl) if self.remote_sender else curl

    def send(self, request: Request, number: int) -> Visit:
        """Send the request with this number in the sample, again if it gets no response.

        Raises NotReady when it never gets one, or when too many requests got none.
        """
        import urllib3

        pool = self._choose_pool(number)
        try:
            return self._send_once(pool, request)
        except urllib3.exceptions.HTTPError:
            self._count_lost_request()
            return self._retry(pool, request)

    def _retry(self, pool: urllib3.HTTPConnectionPool, request: Request) -> Visit:
        """Send a lost request again. Raises NotReady when it never gets a response."""
        import tenacity
        import urllib3

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_MAX_ATTEMPTS - 1),
            retry=tenacity.retry_if_exception_type(urllib3.exceptions.HTTPError),
            after=lambda state: self._count_lost_request(),
            reraise=True,
        )
        try:
            return retrying(self._send_once, pool, request)
        except urllib3.exceptions.HTTPError as error:
            raise NotReady(f"{self.address.url}{request.path}: no answer: {error}") from None

    def _send_once(self, pool: urllib3.HTTPConnectionPool, request: Request) -> Visit:
        from urllib3.util import SKIP_HEADER

        request = request.with_next_number()
        headers = [(RUN_HEADER, self._run_id), *request.headers_for(self.address)]
        headers += [
            (name, SKIP_HEADER) for name in request.omitted_headers if name in _URLLIB3_HEADERS
        ]
        if not self._sampling.keep_alive:
            headers.append(("connection", "close"))
        start = time.monotonic()
        response = pool.request(
            request.method,
            request.path,
            headers=dict(headers),
            redirect=False,
            timeout=timeouts.REQUEST + request.extra_seconds,
        )
        seconds = time.monotonic() - start
        if not self._sampling.keep_alive:
            pool.close()
        response_headers = {name.lower(): value for name, value in response.headers.itermerged()}
        return Visit(request, response.status, response_headers, response.data, seconds)

    def send_remotely(self, requests: Sequence[Request]) -> list[Visit]:
        """Have the remote sender send a batch; return its visits, in send order.

        Lost requests are sent again. Raises NotReady as `send` does.
        """
        if self.remote_sender is None:
            raise ValueError("there is no remote sender")
        send_batch = partial(self._send_batch_by, self.remote_sender)
        attempts = [request.with_next_number() for request in requests]
        answers = send_batch(attempts)
        for _attempt in range(_MAX_ATTEMPTS - 1):
            lost = [index for index, answer in enumerate(answers) if answer.failure]
            for index in lost:
                self._count_lost_request()
                attempts[index] = requests[index].with_next_number()
            retried = send_batch([attempts[index] for index in lost]) if lost else []
            for index, answer in zip(lost, retried, strict=True):
                answers[index] = answer
        for request, answer in zip(attempts, answers, strict=True):
            if answer.failure:
                reason = f"{answer.failure}: {answer.failure_detail}"
                raise NotReady(f"{self.address.url}{request.path}: no answer: {reason}")
        return [
            Visit(request, answer.status, answer.headers, answer.body, answer.seconds)
            for request, answer in zip(attempts, answers, strict=True)
        ]

    def _send_batch_by(self, sender: Sender, requests: Sequence[Request]) -> list[Answer]:
        """Have `sender` send a batch once; return what became of each request."""
        batch = [
            Asked(
                request.method,
                request.path,
                ((RUN_HEADER, self._run_id), *request.headers_for(self.address)),
                request.omitted_headers,
                timeouts.REQUEST + request.extra_seconds,
            )
            for request in requests
        ]
        return sender.send(self.address, batch, self._sampling.workers, self._sampling.keep_alive)

    def _count_lost_request(self) -> None:
        """Count a request without a response. Raises NotReady when there are too many."""
        self.transport_errors += 1
        if self.transport_errors > self._sampling.errors_allowed:
            raise NotReady(
                f"{self.address.url}: {self.transport_errors} requests got no answer at all "
                f"(allowed: {self._sampling.errors_allowed}); they are never judged as versions"
            )

    def _choose_pool(self, number: int) -> urllib3.HTTPConnectionPool:
        """Return the connections of the client whose turn it is."""
        client = number % self._sampling.clients
        if not self._sampling.keep_alive:
            # A server may close a connection without notice: a fresh one is never handed back.
            return self._open_pool(client)
        key = self.address, client, self._sampling.workers
        if key not in self._pools:
            self._pools.setdefault(key, self._open_pool(client))
        return self._pools[key]

    def _open_pool(self, client: int) -> urllib3.HTTPConnectionPool:
        """Open connections from the source address of a client (0 is the default address)."""
        import urllib3

        source: dict[str, Any] = {"source_address": (f"127.0.0.{client + 1}", 0)} if client else {}
        return urllib3.HTTPConnectionPool(
            self.address.host,
            self.address.port,
            maxsize=self._sampling.workers,
            timeout=urllib3.Timeout(timeouts.REQUEST),
            retries=False,
            **source,
        )
