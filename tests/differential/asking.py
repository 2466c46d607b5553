"""Sends the same requests to both meshes, and tells when the answers differ by more than chance."""

from __future__ import annotations

import http.client
import itertools
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from meshproof.base import timeouts
from meshproof.base.names import MIRROR_HEADER
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.mesh.protocol import Address, TlsClient
from meshproof.oracle.derive import Call
from meshproof.verdict.two_samples import differs
from tests.differential.meshes import MARKERS, Pair, Side

#: The chance that equal meshes are taken for different ones, for one kind of answer to a request.
#: A set has some 60 requests with up to 30 kinds (who got its copies): less than one in a million.
ALPHA = 1e-10
#: How often each mesh is asked at first; when these answers vary; when they look different.
_STEPS = (3, 25, 200)
#: So many requests of a set are asked the most often: more say nothing new.
_MAX_SUSPECTS = 6
#: From here on answers look different: they are asked for more.
_SUSPICION = 1e-3
#: What each mesh has for itself: clocks, and words about the proxy itself.
_IGNORED = frozenset(
    {"date", "server", "content-length", "x-envoy-upstream-service-time", "connection"}
    | {"x-envoy-decorator-operation", "transfer-encoding", "vary"}
)
#: An answer this many seconds after its request was delayed by a rule (they delay by 0.3).
_SLOW = 0.28
#: What a request gets to a host that the caller's proxy does not know: 502 where the proxy listens
#: at the port; where it knows no service of that port, istiod has it not listen at all.
_UNKNOWN_HOST, NO_CONNECTION = 502, 599
#: How many requests are under way at once.
_WORKERS = 16
_TOKENS = itertools.count()


@dataclass(frozen=True)
class Answer:
    """What one request got: the parts that a caller or a backend can see, by name."""

    parts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.parts)


@dataclass
class Asked:
    """A request, and what each mesh answered: by name of the mesh, answer -> how often.

    `responses` are the answers as they came, for the oracle.
    """

    call: Call
    answers: dict[str, Counter[Answer]] = field(default_factory=dict)
    responses: dict[str, list[HttpResponse]] = field(default_factory=dict)

    @property
    def is_different(self) -> bool:
        """Say whether chance is ruled out as the cause of the difference."""
        return self.looks_different(ALPHA)

    def looks_different(self, alpha: float) -> bool:
        """Say whether equal meshes answer so differently in less than a share `alpha`."""
        first, second = self.answers.values()
        return differs(first, second, alpha)

    def list_parts(self) -> tuple[str, ...]:
        """Return the names of the parts that differ between the most frequent answers."""
        first, second = (dict(_find_typical(count).parts) for count in self._list_distinct())
        names = dict.fromkeys((*first, *second))
        different = tuple(name for name in names if first.get(name) != second.get(name))
        return different or ("shares",)

    def _list_distinct(self) -> list[Counter[Answer]]:
        """Return what each mesh answers more often than the other one."""
        first, second = self.answers.values()
        return [first - second or first, second - first or second]


def _find_typical(answers: Counter[Answer]) -> Answer:
    """Return the answer that came most often, the first by its words of several."""
    return min(answers, key=lambda answer: (-answers[answer], str(answer)))


class Asker:
    """Asks both meshes, over connections that stay open."""

    def __init__(self, pair: Pair) -> None:
        self._sides = pair.sides
        self._copies = pair.copies
        self._connections: dict[tuple[int, Address], http.client.HTTPConnection] = {}
        self._contexts: dict[TlsClient, ssl.SSLContext] = {}
        self._executor = ThreadPoolExecutor(_WORKERS)
        self.requests = 0

    def close(self) -> None:
        """Close all connections; nothing can be asked any more."""
        self._executor.shutdown()
        self.forget_connections()

    def forget_connections(self) -> None:
        """Close all connections: they may belong to listeners of the rules before."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def ask(self, calls: Iterable[Call], has_copies: bool, has_delays: bool) -> list[Asked]:
        """Return what each call got that both meshes can be sent; asks more where answers vary."""
        asked = [
            Asked(call)
            for call in calls
            if all(side.find_address(call) is not None for side in self._sides)
        ]
        open_questions = asked
        for step in _STEPS:
            for side in self._sides:
                self.ask_side(side, open_questions, step, has_copies, has_delays)
            open_questions = [
                question
                for question in open_questions
                if len(set().union(*question.answers.values())) > 1
                and (step != _STEPS[1] or question.looks_different(_SUSPICION))
            ]
            if step == _STEPS[1]:
                open_questions = open_questions[:_MAX_SUSPECTS]
        return asked

    def ask_side(
        self,
        side: Side,
        questions: Sequence[Asked],
        count: int,
        has_copies: bool,
        has_delays: bool,
    ) -> None:
        """Ask one mesh each question `count` times, and note the answers."""
        sent = [
            (question, f"t{next(_TOKENS)}" if has_copies else "")
            for question in questions
            for _ in range(count)
        ]
        responses = list(
            self._executor.map(lambda pair: self._send(side, pair[0].call, pair[1]), sent)
        )
        copies = self._count_copies() if has_copies and questions else {}
        for (question, token), response in zip(sent, responses, strict=True):
            answers = question.answers.setdefault(side.name, Counter())
            question.responses.setdefault(side.name, []).append(response)
            workloads = _list_copies(copies.get(token, Counter()), response)
            answers[_read_answer(response, workloads, has_delays)] += 1

    def _count_copies(self) -> dict[str, Counter[str]]:
        """Return, for each token, how often each workload has got its request."""
        copies: dict[str, Counter[str]] = defaultdict(Counter)
        counts = self._copies.count_copies()
        for (token, workload), number in counts.items():
            copies[token][workload] = number
        counts.clear()  # nobody asks for these tokens again
        return copies

    def _send(self, side: Side, call: Call, token: str) -> HttpResponse:
        """Send one request; a connection that was closed is opened anew."""
        self.requests += 1
        address = side.find_address(call)
        assert address is not None
        headers = [("Host", call.host_header), *call.headers]
        headers += [(MIRROR_HEADER, token)] if token else []
        for _ in range(3):
            key = threading.get_ident(), address
            connection = self._connections.get(key)
            if connection is None:
                connection = self._connections[key] = self._make_connection(address)
            try:
                return _exchange(connection, call, headers)
            except (ConnectionError, http.client.HTTPException, ssl.SSLError):
                connection.close()
                del self._connections[key]
        return HttpResponse(HttpRequest(call.request_target), NO_CONNECTION, {}, b"")

    def _make_connection(self, address: Address) -> http.client.HTTPConnection:
        """Return a connection, not opened yet, that speaks TLS if its address asks for it."""
        client = address.tls_client
        if client is None:
            return http.client.HTTPConnection(address.host, address.port, timeout=timeouts.REQUEST)
        context = self._contexts.get(client)
        if context is None:
            # Which certificate a server shows, is not compared: each mesh has its own.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if client.certificate:
                context.load_cert_chain(client.certificate, client.key)
            self._contexts[client] = context
        return _TlsConnection(address, context, client.name)


class _TlsConnection(http.client.HTTPConnection):
    """A connection with TLS that asks for another name than its address."""

    def __init__(self, address: Address, context: ssl.SSLContext, name: str) -> None:
        super().__init__(address.host, address.port, timeout=timeouts.REQUEST)
        self._context, self._name = context, name

    def connect(self) -> None:
        """Connect; see `HTTPConnection.connect`."""
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def _exchange(
    connection: http.client.HTTPConnection, call: Call, headers: Sequence[tuple[str, str]]
) -> HttpResponse:
    """Send a request with exactly these headers; return the response."""
    start = time.monotonic()
    connection.putrequest(call.method, call.request_target, True, True)
    for name, value in headers:
        connection.putheader(name, value)
    if call.method in ("POST", "PUT"):
        connection.putheader("Content-Length", "0")
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    received: dict[str, str] = {}
    for name, value in response.getheaders():
        name = name.lower()
        received[name] = f"{received[name]}, {value}" if name in received else value
    seconds = time.monotonic() - start
    request = HttpRequest(call.request_target, tuple(headers), call.method)
    return HttpResponse(request, response.status, received, body, seconds)


def _list_copies(counts: Counter[str], response: HttpResponse) -> list[str]:
    """Return the workloads that got a request, without the tries of the one that answered."""
    name = response.headers.get(MARKERS.served_by)
    if name is not None and name in counts:
        header = f"{MARKERS.request_header_prefix}x-envoy-attempt-count"
        counts = counts.copy()
        counts[name] -= min(int(response.headers.get(header, "1")), counts[name])
    return sorted(counts.elements())


def _read_answer(response: HttpResponse, copies: Sequence[str], has_delays: bool) -> Answer:
    """Return the parts of a response that must be alike."""
    parts = {"status": str(response.status)}
    is_reply = MARKERS.served_by in response.headers or response.body
    if response.status in (_UNKNOWN_HOST, NO_CONNECTION) and not is_reply:
        parts["status"] = "none: the proxy of the caller knows no such host"
    if workload := response.headers.get(MARKERS.served_by):
        parts["workload"] = workload
    elif response.body:
        parts["body"] = response.text
    names = {MARKERS.served_by: "", MARKERS.path: "path", MARKERS.authority: "authority"}
    for header, value in sorted(response.headers.items()):
        if header in _IGNORED or header == MARKERS.served_by:
            continue
        prefix = MARKERS.request_header_prefix
        if header.startswith(prefix):
            parts[f"arrived {header.removeprefix(prefix)}"] = value
        else:
            parts[names.get(header) or f"came back {header}"] = value
    if copies:
        parts["copied to"] = " ".join(copies)
    if has_delays and response.seconds >= _SLOW:
        parts["delayed"] = "yes"
    return Answer(tuple(parts.items()))
