"""One HTTP request as a promise or a case states it, and the visit that came of sending it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshproof.mesh.protocol import Address

#: Header that marks the requests of a run: in access logs, in traces.
RUN_HEADER = "x-meshproof-run"
#: Numbers for `Request.numbered_header`: no two requests of this process have the same.
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Request:
    """One kind of request: `method` and `path` with `headers` (pairs, names as written).

    `omitted_headers` are headers that clients add by themselves and that must not be sent. The
    response may take `extra_seconds` longer than others. `numbered_header` (name, start of its
    value) gets another number each time the request is sent, also when it is sent again.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    omitted_headers: tuple[str, ...] = ()
    extra_seconds: float = 0.0
    numbered_header: tuple[str, str] | None = None

    def with_next_number(self) -> Request:
        """Return the request to send once, with the next number in its `numbered_header`."""
        if self.numbered_header is None:
            return self
        name, start = self.numbered_header
        value = f"{start}-{next(_NUMBERS)}"
        return replace(self, headers=(*self.headers, (name, value)), numbered_header=None)

    def headers_for(self, address: Address) -> tuple[tuple[str, str], ...]:
        """Return the headers with the Host that `address` needs, unless the request has its own."""
        has_host = any(name.lower() == "host" for name, _ in self.headers)
        if has_host or not address.authority:
            return self.headers
        return (("Host", address.authority), *self.headers)

    def build_curl(self, address: Address) -> str:
        """Return the curl command line that sends this request to `address`."""
        arguments = ["curl", "-i", *(["-X", self.method] if self.method != "GET" else [])]
        for name, value in self.headers_for(address):
            arguments += ["-H", f"{name}: {value}"]
        for name in self.omitted_headers:
            arguments += ["-H", f"{name}:"]
        return shlex.join([*arguments, address.url + self.path])


@dataclass(frozen=True)
class Visit:
    """One request as it was sent, with its response.

    `status` is the HTTP status (100..599), `headers` have lower-case names, `seconds` is how long
    the response took.
    """

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode(errors="replace")
