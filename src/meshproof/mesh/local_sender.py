"""Sends requests from this process, over kept-alive or fresh connections, by libcurl."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from meshproof.mesh.http import HttpRequest, HttpResponse, NoResponse
from meshproof.mesh.protocol import Address

if TYPE_CHECKING:
    from meshproof.mesh.transfers import Transfer, TransferLoop

    #: Gives the next request, or None; waits for one if it is called with True.
    TakeRequest = Callable[[bool], HttpRequest | None]


class LocalSender:
    """Sends from this process; see `meshproof.mesh.http.StreamingSender`. Threads may share it.

    Client number N has the source address 127.0.0.(N + 1), for meshes that keep a client with one
    version; loopback has more than one address on Linux only.
    """

    def __init__(self) -> None:
        self._idle_loops: deque[TransferLoop] = deque()

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send requests once, `workers` at a time; return each outcome, in send order."""
        outcomes: list[HttpResponse | NoResponse] = []
        source = iter(requests)
        self._exchange(
            address, lambda _waits: next(source, None), workers, keep_alive, outcomes.append
        )
        return outcomes

    def stream(
        self,
        address: Address,
        requests: Iterator[HttpRequest],
        workers: int,
        keep_alive: bool,
        ahead: int,
    ) -> Generator[HttpResponse | NoResponse]:
        """Send endless requests, at most `ahead` more than were read; yield each outcome, in order.

        They are sent by a thread of their own, whatever the reader does meanwhile: the time of a
        response is that of the mesh. Close the generator when enough was read: it then waits for
        the requests that are under way.
        """
        stream = _Stream(requests, ahead)

        def exchange() -> None:
            try:
                self._exchange(address, stream.take, workers, keep_alive, stream.outcomes.put)
            except BaseException as error:
                stream.outcomes.put(error)

        thread = threading.Thread(target=exchange, name="sender", daemon=True)
        thread.start()
        try:
            while True:
                yield stream.read()
        finally:
            stream.end()
            thread.join()

    def describe_command(self, curl: str) -> str:
        """Return the command line as it is."""
        return curl

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle_loops:
            self._idle_loops.pop().close()

    def _exchange(
        self,
        address: Address,
        take: TakeRequest,
        workers: int,
        keep_alive: bool,
        deliver: Callable[[HttpResponse | NoResponse], None],
    ) -> None:
        """Send what `take` gives, `workers` at a time, until it gives nothing; deliver in order."""
        from meshproof.mesh.transfers import TransferLoop

        loop = self._idle_loops.pop() if self._idle_loops else TransferLoop()
        waiting: deque[Transfer] = deque()
        while True:
            while loop.under_way < workers and (request := take(not waiting)) is not None:
                waiting.append(loop.begin(address, request, keep_alive))
            if not waiting:
                break
            loop.advance()
            while waiting and (outcome := waiting[0].outcome) is not None:
                waiting.popleft()
                deliver(outcome)
        self._idle_loops.append(loop)


class _Stream:
    """The requests of a stream and their outcomes, between its reader and the thread that sends."""

    def __init__(self, requests: Iterator[HttpRequest], ahead: int) -> None:
        self.outcomes: SimpleQueue[HttpResponse | NoResponse | BaseException] = SimpleQueue()
        self._requests = requests
        self._room = threading.Semaphore(ahead)
        self._has_ended = False

    def take(self, waits: bool) -> HttpRequest | None:
        """Return the next request; None if there is no room, unless `waits`, or at the end."""
        if self._has_ended or not self._room.acquire(blocking=waits) or self._has_ended:
            return None
        return next(self._requests, None)

    def read(self) -> HttpResponse | NoResponse:
        """Wait for the next outcome and make room for another request."""
        outcome = self.outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        self._room.release()
        return outcome

    def end(self) -> None:
        """Let no further request be sent."""
        self._has_ended = True
        self._room.release()
