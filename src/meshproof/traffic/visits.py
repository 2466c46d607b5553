"""Requests to visits: who answered, with which status. Sends in batches; judges nothing."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.protocol import Address, Answer, Asked, Sender
from meshproof.traffic.attribution import BY_COUNTERS, Attribution

if TYPE_CHECKING:
    import urllib3


#: Header that marks our requests: in access logs, in traces.
RUN_HEADER = "x-meshproof-run"
#: So often a request is sent until it is answered; more would hide a mesh that loses some.
_ATTEMPTS = 3
#: Headers that urllib3 adds.
_AUTOMATIC = ("accept-encoding", "user-agent")
#: Of the requests that are told apart: no two that this process sends have the same.
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Request:
    """One kind of request: `method` and `path` with `headers` (each a pair, names as written).

    `without` are headers that a client sends of its own accord and that must not be there. The
    answer may take `late` seconds more than others. `numbered` is a header (name, start of its
    value) that differs each time a request is sent, also when one is sent again.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    without: tuple[str, ...] = ()
    late: float = 0.0
    numbered: tuple[str, str] | None = None

    def once(self) -> Request:
        """Return the request as it is sent once: its `numbered` header has a number of its own."""
        if self.numbered is None:
            return self
        name, start = self.numbered
        value = f"{start}-{next(_NUMBERS)}"
        return replace(self, headers=(*self.headers, (name, value)), numbered=None)

    def sent_to(self, address: Address) -> tuple[tuple[str, str], ...]:
        """Return the headers as sent to an address, which may be known by another host name."""
        named = any(name.lower() == "host" for name, _ in self.headers)
        if named or not address.authority:
            return self.headers
        return (("Host", address.authority), *self.headers)

    def curl(self, address: Address) -> str:
        """Return a command line that sends this request to an address."""
        words = ["curl", "-i", *(["-X", self.method] if self.method != "GET" else [])]
        for name, value in self.sent_to(address):
            words += ["-H", f"{name}: {value}"]
        for name in self.without:
            words += ["-H", f"{name}:"]
        return shlex.join([*words, address.url + self.path])


@dataclass(frozen=True)
class Visit:
    """An answered request, as it was sent: its HTTP status (100..599), headers (lower case), body.

    `seconds` is how long the answer took.
    """

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode(errors="replace")


Label = Callable[[Visit], str | None]


@dataclass(frozen=True)
class Sampling:
    """How requests are sent: so many at once, over kept or fresh connections, in such batches.

    `clients` is the number of source addresses (127.0.0.1, 127.0.0.2, ...) that take turns, for
    meshes that keep a client with one version; loopback has more than one on Linux only. A batch
    is judged whole, in send order: judging answers as they arrive would count the faster version
    too often. `errors_allowed` requests may get no answer at all (each is sent again at most
    twice); they are counted and never judged.
    """

    workers: int = 4
    keep_alive: bool = True
    clients: int = 1
    batch: int = 10
    errors_allowed: int = 5

    def __str__(self) -> str:
        kept = "kept-alive" if self.keep_alive else "fresh"
        clients = "1 client" if self.clients == 1 else f"{self.clients} clients in turn"
        return f"batches of {self.batch}, {self.workers} at a time, {kept} connections, {clients}"


#: Kept connections by address, client and number of workers.
Pools = dict[tuple[Address, int, int], "urllib3.HTTPConnectionPool"]


class Visits:
    """An endless, lazy sample of one or several kinds of request, sent in turn.

    Iterate over it: each batch is sent when its first visit is asked for. `attribution` tells which
    version gave an answer, `run` is the value of the header that marks the requests. A `sender`
    sends the batches from elsewhere, else they are sent from here.
    """

    def __init__(
        self,
        address: Address,
        requests: Sequence[Request],
        run: str,
        sampling: Sampling | None = None,
        tell: Callable[[str], None] = lambda text: None,
        attribution: Attribution | None = None,
        pools: Pools | None = None,
        sender: Sender | None = None,
    ) -> None:
        if not requests:
            raise UsageError("no request to send")
        self.address = address
        self.requests = tuple(requests)
        self.sampling = sampling or Sampling()
        self.attribution = attribution or Attribution()
        self.sent = 0
        self.transport_errors = 0
        self._run = run
        self._tell = tell
        self._last_error = ""
        self._pools: Pools = {} if pools is None else pools
        self._sender = sender
        self._begun: Future[list[Visit]] | None = None

    @property
    def curl(self) -> str:
        """A command line that shows the first kind of request."""
        return self.curl_of(self.requests[0])

    def curl_of(self, request: Request) -> str:
        """Return a command line that sends a request the way that this sample is sent."""
        curl = request.curl(self.address)
        return self._sender.shown(curl) if self._sender else curl

    def __iter__(self) -> Iterator[Visit]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Visit]]:
        """Yield whole batches, each sent when it is asked for, without end."""
        if self._sender is not None:
            sender = self._sender
            yield from self._batches(lambda _, numbers: self._elsewhere(sender, numbers))
        if self.sampling.workers == 1:
            yield from self._batches(map)
        with ThreadPoolExecutor(self.sampling.workers) as executor:
            yield from self._batches(executor.map)

    def to_judge(self) -> Generator[Visit]:
        """Yield visits in send order, without end; the next batch is under way while one is judged.

        So no worker waits for the slowest answer of a batch. Close it when enough was seen: what is
        under way then is waited for and looked at by nobody.
        """
        if self._sender is not None or self.sampling.workers == 1:
            yield from self
            return
        with ThreadPoolExecutor(self.sampling.workers) as executor:
            coming = self._begin(executor)
            try:
                while True:
                    batch = coming
                    self.sent += len(batch)
                    coming = self._begin(executor)
                    visits = [one.result() for one in batch]
                    self._tell_progress()
                    yield from visits
            finally:
                for one in coming:
                    one.cancel()

    def _begin(self, executor: Executor) -> list[Future[Visit]]:
        """Let `executor` send the next batch."""
        numbers = range(self.sent, self.sent + self.sampling.batch)
        return [executor.submit(self._send, number) for number in numbers]

    def labelled(self, app: str) -> Generator[str | None]:
        """Yield the version of an app that answered each request, as its answer or counters tell.

        `app` is its name, or `counters:SERVICE[.NAMESPACE]`: then a version is the name of a
        subset, and the order within a batch is not the real one (see `mesh.counters.labels`).
        Raises UsageError for an app of neither.
        """
        service = app.removeprefix(BY_COUNTERS)
        if service == app:
            return self.judged_by(self.attribution.by(app))
        begin = self.attribution.counters
        if begin is None:
            raise UsageError(f"by='{app}': this mesh has no counters of clients")
        from meshproof.mesh import counters

        size = min(self.sampling.batch, counters.BATCH)
        self.sampling = replace(self.sampling, batch=size)
        return counters.labels(self.batches(), lambda: begin(service))

    def judged_by(self, label: Label) -> Generator[str | None]:
        """Yield the label of each visit of `to_judge`; to be closed as that."""
        return (label(visit) for visit in self.to_judge())

    def _batches(self, send: Callable[..., Iterable[Visit]]) -> Iterator[list[Visit]]:
        while True:
            numbers = range(self.sent, self.sent + self.sampling.batch)
            self.sent += self.sampling.batch
            yield list(send(self._send, numbers))
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._tell(f"{self.sent} visits to {self.requests[0].path}")

    def begin(self, count: int, executor: Executor) -> None:
        """Let `executor` send `count` requests; the next `take` returns their visits."""
        self._begun = executor.submit(self._taken, count)

    def take(self, count: int) -> list[Visit]:
        """Send `count` requests and return their visits, in send order, or those that `begin` sent.

        Raises NotReady for a request that gets no answer at all.
        """
        begun, self._begun = self._begun, None
        return begun.result() if begun else self._taken(count)

    def settle(self) -> None:
        """Wait until what `begin` sent has got its answers, whatever they are; `take` tells."""
        if self._begun is not None:
            self._begun.exception()

    def _taken(self, count: int) -> list[Visit]:
        found: list[Visit] = []
        for visit in self:
            found.append(visit)
            if len(found) == count:
                break
        return found

    def _send(self, number: int) -> Visit:
        """Send the request of that number (from 0) until it is answered."""
        import urllib3

        request = self.requests[number % len(self.requests)]
        pool = self._connections(number)
        try:
            return self._once(pool, request)
        except urllib3.exceptions.HTTPError:
            self._count_lost()
            return self._again(pool, request)

    def _again(self, pool: urllib3.HTTPConnectionPool, request: Request) -> Visit:
        """Send a request that got no answer again. Raises NotReady when it gets none at all."""
        import tenacity
        import urllib3

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS - 1),
            retry=tenacity.retry_if_exception_type(urllib3.exceptions.HTTPError),
            after=lambda state: self._count_lost(),
            reraise=True,
        )
        try:
            return retrying(self._once, pool, request)
        except urllib3.exceptions.HTTPError as error:
            raise NotReady(f"{self.address.url}{request.path}: no answer: {error}") from None

    def _elsewhere(self, sender: Sender, numbers: Sequence[int]) -> list[Visit]:
        """Have a batch sent by the sender; what gets no answer is sent again, as from here."""
        kinds = [self.requests[number % len(self.requests)] for number in numbers]
        requests = [kind.once() for kind in kinds]
        answers = self._asked(sender, requests)
        for _attempt in range(_ATTEMPTS - 1):
            lost = [place for place, answer in enumerate(answers) if answer.lost]
            for _one in lost:
                self._count_lost()
            for place in lost:
                requests[place] = kinds[place].once()
            again = self._asked(sender, [requests[place] for place in lost]) if lost else []
            for place, answer in zip(lost, again, strict=True):
                answers[place] = answer
        for request, answer in zip(requests, answers, strict=True):
            if answer.lost:
                said = f"{answer.lost}: {answer.why}"
                raise NotReady(f"{self.address.url}{request.path}: no answer: {said}")
        return [
            Visit(request, answer.status, answer.headers, answer.body, answer.seconds)
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _asked(self, sender: Sender, requests: Sequence[Request]) -> list[Answer]:
        asked = [
            Asked(
                request.method,
                request.path,
                ((RUN_HEADER, self._run), *request.sent_to(self.address)),
                request.without,
                timeouts.REQUEST + request.late,
            )
            for request in requests
        ]
        return sender.send(self.address, asked, self.sampling.workers, self.sampling.keep_alive)

    def _count_lost(self) -> None:
        self.transport_errors += 1
        if self.transport_errors > self.sampling.errors_allowed:
            raise NotReady(
                f"{self.address.url}: {self.transport_errors} requests got no answer at all "
                f"(allowed: {self.sampling.errors_allowed}); they are never judged as versions"
            )

    def _once(self, pool: urllib3.HTTPConnectionPool, request: Request) -> Visit:
        from urllib3.util import SKIP_HEADER

        request = request.once()
        headers = [(RUN_HEADER, self._run), *request.sent_to(self.address)]
        headers += [(name, SKIP_HEADER) for name in request.without if name in _AUTOMATIC]
        if not self.sampling.keep_alive:
            headers.append(("connection", "close"))
        began = time.monotonic()
        answer = pool.request(
            request.method,
            request.path,
            headers=dict(headers),
            redirect=False,
            timeout=timeouts.REQUEST + request.late,
        )
        took = time.monotonic() - began
        if not self.sampling.keep_alive:
            pool.close()
        found = {name.lower(): value for name, value in answer.headers.itermerged()}
        return Visit(request, answer.status, found, answer.data, took)

    def _connections(self, number: int) -> urllib3.HTTPConnectionPool:
        """Return the connections of the client whose turn it is."""
        client = number % self.sampling.clients
        if not self.sampling.keep_alive:
            # A server may close a connection without saying so: a fresh one is never handed back.
            return self._pool(client)
        key = self.address, client, self.sampling.workers
        if key not in self._pools:
            self._pools.setdefault(key, self._pool(client))
        return self._pools[key]

    def _pool(self, client: int) -> urllib3.HTTPConnectionPool:
        import urllib3

        source: dict[str, Any] = {"source_address": (f"127.0.0.{client + 1}", 0)} if client else {}
        return urllib3.HTTPConnectionPool(
            self.address.host,
            self.address.port,
            maxsize=self.sampling.workers,
            timeout=urllib3.Timeout(timeouts.REQUEST),
            retries=False,
            **source,
        )
