"""The model of what a route does beside choosing who answers: the same for every dialect.

Source: Istio reference, VirtualService (HTTPRedirect, HTTPDirectResponse, HTTPRewrite, Headers,
HTTPFaultInjection, HTTPRetry).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshproof.documents.manifest import At

if TYPE_CHECKING:
    from meshproof.rules.model import StringMatch

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Redirect:
    """The client is sent elsewhere with `code`; what is empty stays as it was asked.

    `uri` is a whole path; `prefix` takes the place of what a path_prefix match took. `port` is
    the one to name, None: none of its own; `asked_port` means the port that was asked.
    """

    code: int
    uri: str = ""
    authority: str = ""
    scheme: str = ""
    port: int | None = None
    use_request_port: bool = False
    prefix: str = ""


@dataclass(frozen=True)
class DirectResponse:
    """The proxy answers itself, with this status and body."""

    status: int
    body: str = ""


@dataclass(frozen=True)
class Rewrite:
    """What is changed of path and host before the request goes on; what is empty stays.

    `uri` takes the place of what the match took: of its prefix, else of the whole path. Below a
    path it is whole elements, too: the slash before the rest stays one. `pattern` is RE2; each part
    of the path that it finds becomes `substitution`.
    """

    uri: str = ""
    authority: str = ""
    pattern: str = ""
    substitution: str = ""
    at: At = field(default=At("", 0), compare=False)


@dataclass(frozen=True)
class HeaderChanges:
    """Headers (lower case) that are set, added to and removed; no name stands twice."""

    set: Pairs = ()
    add: Pairs = ()
    remove: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every header that is changed."""
        return (*(name for name, _ in self.set + self.add), *self.remove)


_NO_CHANGES = HeaderChanges()


@dataclass(frozen=True)
class Headers:
    """Changes of the request before it goes on and of the answer before it goes back."""

    request: HeaderChanges = _NO_CHANGES
    response: HeaderChanges = _NO_CHANGES


#: As they come, so they go.
UNCHANGED = Headers()


@dataclass(frozen=True)
class Fault:
    """A delay in seconds and an abort with a status, each for its percentage (0..100)."""

    delay_seconds: float = 0.0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0


@dataclass(frozen=True)
class Cors:
    """Which pages of other origins may ask (of any `origins`), and what they may ask and see.

    `methods` and `headers` may be asked with, `exposed` headers be seen; a preflight's answer may
    be kept `age` seconds. `credentials`, when true, lets cookies pass. What is empty or None is not
    said. A preflight of another origin goes on to a workload when `forward` is true.
    """

    origins: tuple[StringMatch, ...]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool | None = None
    forwards_unmatched: bool = True


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again, on which conditions (none: the mesh's own).

    `each` is the time in seconds for one try, 0 without a limit of its own.
    """

    attempts: int
    per_try_seconds: float = 0.0
    conditions: tuple[str, ...] = ()
