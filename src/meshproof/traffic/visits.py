"""A lazy sample of visits: requests are sent batch by batch, only when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

from meshproof.base.errors import UsageError
from meshproof.mesh.protocol import Address, Sender
from meshproof.traffic.attribution import BY_COUNTERS, Attribution
from meshproof.traffic.http import Request, Visit
from meshproof.traffic.sender import Pools, RequestSender, Sampling

ReadLabel = Callable[[Visit], str | None]


class Visits:
    """An endless, lazy sample of one or several kinds of request, sent in turn.

    Iterate to send: each batch is sent when its first visit is needed. `attribution` reads from a
    visit which version responded. `run_id` is the value of the header that marks the requests. A
    `remote_sender` sends the batches from elsewhere; without one they are sent from here.
    """

    def __init__(
        self,
        address: Address,
        requests: Sequence[Request],
        run_id: str,
        sampling: Sampling | None = None,
        report_progress: Callable[[str], None] = lambda text: None,
        attribution: Attribution | None = None,
        pools: Pools | None = None,
        remote_sender: Sender | None = None,
    ) -> None:
        if not requests:
            raise UsageError("no request to send")
        self.address = address
        self.requests = tuple(requests)
        self.sampling = sampling or Sampling()
        self.attribution = attribution or Attribution()
        self.sent = 0
        self._report_progress = report_progress
        self._sender = RequestSender(address, run_id, self.sampling, pools, remote_sender)
        self._sent_ahead: Future[list[Visit]] | None = None

    @property
    def transport_errors(self) -> int:
        """How many requests got no response at all; they are sent again and never judged."""
        return self._sender.transport_errors

    @property
    def curl(self) -> str:
        """A command line that shows the first kind of request."""
        return self.build_curl(self.requests[0])

    def build_curl(self, request: Request) -> str:
        """Return the command line that sends a request as this sample sends it."""
        return self._sender.build_curl(request)

    def __iter__(self) -> Iterator[Visit]:
        for batch in self.iter_batches():
            yield from batch

    def iter_batches(self) -> Iterator[list[Visit]]:
        """Yield whole batches, without end; each is sent when it is needed."""
        if self._sender.remote_sender is not None:
            yield from self._send_batches(self._send_remotely)
        if self.sampling.workers == 1:
            yield from self._send_batches(lambda numbers: map(self._send, numbers))
        with ThreadPoolExecutor(self.sampling.workers) as executor:
            yield from self._send_batches(lambda numbers: executor.map(self._send, numbers))

    def stream(self) -> Generator[Visit]:
        """Yield visits in send order, without end, while the next batch is already under way.

        So no worker waits for the slowest response of a batch. Close the generator when enough was
        read: it then waits for the requests that are under way and ignores their responses.
        """
        if self._sender.remote_sender is not None or self.sampling.workers == 1:
            yield from self
            return
        with ThreadPoolExecutor(self.sampling.workers) as executor:
            next_batch = self._submit_batch(executor)
            try:
                while True:
                    batch = next_batch
                    self.sent += len(batch)
                    next_batch = self._submit_batch(executor)
                    visits = [future.result() for future in batch]
                    self._report_sent()
                    yield from visits
            finally:
                for future in next_batch:
                    future.cancel()

    def label_by_app(self, app: str) -> Generator[str | None]:
        """Yield for each request the version of `app` that responded.

        `app` is a name, whose version the response tells, or `counters:SERVICE[.NAMESPACE]`: then
        a version is the name of a subset, and the order within a batch is not the real one (see
        `mesh.counters.label_requests`). Raises UsageError for an app of neither.
        """
        service = app.removeprefix(BY_COUNTERS)
        if service == app:
            return self.label_by(self.attribution.find_reader(app))
        start_counters = self.attribution.start_counters
        if start_counters is None:
            raise UsageError(f"by='{app}': this mesh has no counters of clients")
        from meshproof.mesh import counters

        size = min(self.sampling.batch, counters.BATCH)
        self.sampling = replace(self.sampling, batch=size)
        return counters.label_requests(self.iter_batches(), lambda: start_counters(service))

    def label_by(self, read_label: ReadLabel) -> Generator[str | None]:
        """Yield the label of each visit of `stream`; close it in the same way."""
        return (read_label(visit) for visit in self.stream())

    def send_ahead(self, count: int, executor: Executor) -> None:
        """Let `executor` send `count` requests now; the next `take` returns their visits."""
        self._sent_ahead = executor.submit(self._take_now, count)

    def wait_for_sent_ahead(self) -> None:
        """Wait until the requests of `send_ahead` are done; `take` raises what went wrong."""
        if self._sent_ahead is not None:
            self._sent_ahead.exception()

    def take(self, count: int) -> list[Visit]:
        """Send `count` requests and return their visits, in send order, or those of `send_ahead`.

        Raises NotReady for a request that gets no response at all.
        """
        sent_ahead, self._sent_ahead = self._sent_ahead, None
        return sent_ahead.result() if sent_ahead else self._take_now(count)

    def _take_now(self, count: int) -> list[Visit]:
        """Send `count` requests and return their visits."""
        visits: list[Visit] = []
        for visit in self:
            visits.append(visit)
            if len(visits) == count:
                break
        return visits

    def _submit_batch(self, executor: Executor) -> list[Future[Visit]]:
        """Let `executor` send the next batch."""
        numbers = range(self.sent, self.sent + self.sampling.batch)
        return [executor.submit(self._send, number) for number in numbers]

    def _send_batches(self, send: Callable[[range], Iterable[Visit]]) -> Iterator[list[Visit]]:
        """Yield batch after batch, each sent by `send`, which takes the numbers of its requests."""
        while True:
            numbers = range(self.sent, self.sent + self.sampling.batch)
            self.sent += self.sampling.batch
            yield list(send(numbers))
            self._report_sent()

    def _send(self, number: int) -> Visit:
        return self._sender.send(self._request(number), number)

    def _send_remotely(self, numbers: range) -> list[Visit]:
        return self._sender.send_remotely([self._request(number) for number in numbers])

    def _request(self, number: int) -> Request:
        """Return the request with this number (from 0): the kinds take turns."""
        return self.requests[number % len(self.requests)]

    def _report_sent(self) -> None:
        self._report_progress(f"{self.sent} visits to {self.requests[0].path}")
