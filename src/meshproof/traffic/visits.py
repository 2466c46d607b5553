"""A lazy sample of visits: requests are sent batch by batch, only when they are needed."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace

from meshproof.base.errors import UsageError
from meshproof.base.phases import Phase, PhaseClock
from meshproof.mesh.http import HttpRequest, HttpResponse, Sender
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.protocol import Address
from meshproof.traffic.attribution import BY_COUNTERS, Attribution
from meshproof.traffic.sender import RetryingSender, Sampling

ReadLabel = Callable[[HttpResponse], str | None]


class Visits:
    """An endless, lazy sample of one or several kinds of request, sent in turn.

    Iterate to send: each batch is sent when its first visit is needed. `attribution` reads from a
    visit which version responded. `run_id` is the value of the header that marks the requests.
    `sender` sends them; by default they are sent from here, over connections of their own. The time
    that they take counts in `phases`.
    """

    def __init__(
        self,
        address: Address,
        requests: Sequence[HttpRequest],
        run_id: str,
        sampling: Sampling | None = None,
        report_progress: Callable[[str], None] = lambda text: None,
        attribution: Attribution | None = None,
        sender: Sender | None = None,
        phases: PhaseClock | None = None,
    ) -> None:
        if not requests:
            raise UsageError("no request to send")
        self.address = address
        self.requests = tuple(requests)
        self.sampling = sampling or Sampling()
        self.attribution = attribution or Attribution()
        self.sent = 0
        self._report_progress = report_progress
        self._phases = phases or PhaseClock()
        self._sender = RetryingSender(address, run_id, self.sampling, sender or LocalSender())
        self._sent_ahead: Future[list[HttpResponse]] | None = None

    @property
    def is_read(self) -> bool:
        """Whether requests were sent for somebody who reads the answers: not ahead for nobody."""
        return self.sent > 0 and self._sent_ahead is None

    @property
    def transport_errors(self) -> int:
        """How many requests got no response at all; they are sent again and never judged."""
        return self._sender.transport_errors

    @property
    def curl(self) -> str:
        """A command line that shows the first kind of request."""
        return self.build_curl(self.requests[0])

    def build_curl(self, request: HttpRequest) -> str:
        """Return the command line that sends a request as this sample sends it."""
        return self._sender.build_curl(request)

    def __iter__(self) -> Iterator[HttpResponse]:
        for batch in self.iter_batches():
            yield from batch

    def iter_batches(self) -> Iterator[list[HttpResponse]]:
        """Yield whole batches, without end; each is sent when it is needed."""
        while True:
            batch = [self._request(self.sent + offset) for offset in range(self.sampling.batch)]
            self.sent += len(batch)
            with self._phases.measure(Phase.REQUESTS):
                responses = self._sender.send(batch)
            self._report_sent()
            yield responses

    def stream(self) -> Generator[HttpResponse]:
        """Yield visits in send order, without end, while further requests are under way.

        So no worker waits for the slowest response of a batch. Close the generator when enough was
        read: it then waits for the requests that are under way and ignores their responses.
        """
        if not self._sender.is_near:
            yield from self
            return
        requests = map(self._request, itertools.count(self.sent))
        with contextlib.closing(self._sender.stream(requests)) as responses:
            while True:
                with self._phases.measure(Phase.REQUESTS):
                    response = next(responses)
                self.sent += 1
                if self.sent % self.sampling.batch == 0:
                    self._report_sent()
                yield response

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

    def take(self, count: int) -> list[HttpResponse]:
        """Send `count` requests and return their visits, in send order, or those of `send_ahead`.

        Raises NotReady for a request that gets no response at all.
        """
        sent_ahead, self._sent_ahead = self._sent_ahead, None
        if sent_ahead is None:
            return self._take_now(count)
        with self._phases.measure(Phase.REQUESTS):
            return sent_ahead.result()

    def send(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        """Send requests of other kinds, as those of the sample; return their visits in order."""
        self.sent += len(requests)
        return self._sender.send(requests)

    def _take_now(self, count: int) -> list[HttpResponse]:
        """Send `count` requests and return their visits."""
        visits: list[HttpResponse] = []
        for visit in self:
            visits.append(visit)
            if len(visits) == count:
                break
        return visits

    def _request(self, number: int) -> HttpRequest:
        """Return the request with this number (from 0): kinds and clients take turns."""
        kind = self.requests[number % len(self.requests)]
        return replace(kind, client=number % self.sampling.clients)

    def _report_sent(self) -> None:
        self._report_progress(f"{self.sent} visits to {self.requests[0].path}")
