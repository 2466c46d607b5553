"""An HTTP request, its response, and the interface of all that sends requests.

Promises, cases of `--rules`, the meshes' own checks, the sandbox: all send these.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from meshproof.base import timeouts
from meshproof.base.names import RUN_HEADER

if TYPE_CHECKING:
    from meshproof.mesh.protocol import Address

#: Numbers for `HttpRequest.numbered_header`: no two requests of this process have the same.
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class HttpRequest:
    """One kind of request: `method` and `path` with `headers` (pairs, names as written).

    `path` includes the query. `omitted_headers` are headers that clients add by themselves and that
    must not be sent. The response may take `extra_seconds` longer than others. `numbered_header`
    (name, start of its value) gets another number each time the request is sent, also when it is
    sent again. `client` (from 0) is the client that sends it, where several take turns.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    omitted_headers: tuple[str, ...] = ()
    extra_seconds: float = 0.0
    numbered_header: tuple[str, str] | None = None
    client: int = 0

    @property
    def max_seconds(self) -> float:
        """The time limit for the response."""
        return timeouts.REQUEST + self.extra_seconds

    def with_next_number(self) -> HttpRequest:
        """Return the request to send once, with the next number in its `numbered_header`."""
        if self.numbered_header is None:
            return self
        name, start = self.numbered_header
        value = f"{start}-{next(_NUMBERS)}"
        return replace(self, headers=(*self.headers, (name, value)), numbered_header=None)

    def for_run(self, address: Address, run_id: str) -> HttpRequest:
        """Return the request as it is sent to `address`, marked with `run_id` or its own mark."""
        headers = self.headers_for(address)
        if not self.has_header(RUN_HEADER):
            headers = ((RUN_HEADER, run_id), *headers)
        return replace(self, headers=headers)

    def has_header(self, name: str) -> bool:
        """Say whether the request has a header with this name, in any case."""
        return any(own.lower() == name for own, _ in self.headers)

    def headers_for(self, address: Address) -> tuple[tuple[str, str], ...]:
        """Return the headers with the Host that `address` needs, unless the request has its own."""
        if self.has_header("host") or not address.authority:
            return self.headers
        return (("Host", address.authority), *self.headers)

    def build_curl(self, address: Address) -> str:
        """Return the curl command line that sends this request to `address`."""
        arguments = ["curl", "-i", *(["-X", self.method] if self.method != "GET" else [])]
        if any(character in self.path for character in "[]{}"):
            arguments.append("-g")  # else curl takes them for several URLs
        arguments += _list_tls_options(address)
        for name, value in self.headers_for(address):
            arguments += ["-H", f"{name}: {value}"]
        for name in self.omitted_headers:
            arguments += ["-H", f"{name}:"]
        return shlex.join([*arguments, address.url + self.path])


def _list_tls_options(address: Address) -> list[str]:
    """Return the options of curl for TLS that is verified: the name is no name of DNS."""
    client = address.tls_client
    if client is None:
        return []
    options = ["--resolve", f"{client.name}:{address.port}:{address.host}", "--cacert"]
    options.append(str(client.ca))
    if client.certificate is not None:
        options += ["--cert", str(client.certificate), "--key", str(client.key)]
    return options


@dataclass(frozen=True)
class HttpResponse:
    """A response, with the request that got it.

    `status` is the HTTP status (100..599), `headers` have lower-case names, `seconds` is how long
    the response took.
    """

    request: HttpRequest
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode(errors="replace")


class LossReason(StrEnum):
    """Why a request got no response; `ENDED`: the connection closed without one."""

    REFUSED = "refused"
    ENDED = "ended"
    LATE = "late"
    UNKNOWN_HOST = "unknown host"
    UNREACHABLE = "unreachable"
    NO_TLS = "no TLS"
    WRONG_CERTIFICATE = "wrong certificate"


@dataclass(frozen=True)
class NoResponse:
    """A request that got no response: why, and the system's error text."""

    reason: LossReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Sender(Protocol):
    """Sends requests: from this process, from a pod of the run, under names of a sandbox."""

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send requests once, `workers` at a time; return each outcome, in send order.

        Adds no header but those that every HTTP client adds. Raises NotReady if the client itself
        cannot be reached.
        """

    def describe_command(self, curl: str) -> str:
        """Return the command line that sends the request of `curl` from this sender's place."""


@runtime_checkable
class StreamingSender(Sender, Protocol):
    """A sender that is so near that each request can be sent when another one has its response.

    Reaching the others takes longer than their requests: they are given many at once.
    """

    def stream(
        self,
        address: Address,
        requests: Iterator[HttpRequest],
        workers: int,
        keep_alive: bool,
        ahead: int,
    ) -> Generator[HttpResponse | NoResponse]:
        """Send endless requests, at most `ahead` more than were read; yield each outcome, in order.

        Close the generator when enough was read: it then waits for those that are under way.
        """
