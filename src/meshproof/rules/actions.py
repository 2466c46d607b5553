"""The model of a route's actions, the same for every dialect.

A route chooses a destination; its actions redirect, rewrite, delay, retry and the like.

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

#: The statuses of gRPC by their numbers (gRPC, Status codes).
GRPC_STATUSES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


@dataclass(frozen=True)
class Redirect:
    """The client is redirected with `code`. Empty parts stay as in the request.

    `uri` is a whole path. `prefix` replaces the prefix that the match took. `port` is
    the port in the URL, None for none; `use_request_port` means the port of the request.
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
    """The proxy answers by itself, with this status and body."""

    status: int
    body: str = ""


@dataclass(frozen=True)
class Rewrite:
    """Changes of path and host before the request is forwarded. Empty parts stay.

    `uri` replaces the prefix that the match took, else the whole path. For a path_prefix match it
    replaces whole path elements. `pattern` is RE2; each part of the path that it matches becomes
    `substitution`.
    """

    uri: str = ""
    authority: str = ""
    pattern: str = ""
    substitution: str = ""
    at: At = field(default=At("", 0), compare=False)


@dataclass(frozen=True)
class HeaderChanges:
    """Headers (lower case) that are set, added to and removed; each name occurs once."""

    set: Pairs = ()
    add: Pairs = ()
    remove: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all changed headers."""
        return (*(name for name, _ in self.set + self.add), *self.remove)


_NO_CHANGES = HeaderChanges()


@dataclass(frozen=True)
class Headers:
    """Header changes of the request and of the response."""

    request: HeaderChanges = _NO_CHANGES
    response: HeaderChanges = _NO_CHANGES


UNCHANGED = Headers()


@dataclass(frozen=True)
class Fault:
    """A delay in seconds and an abort with a status, each for a percentage (0..100).

    `abort_grpc` is the abort's status of gRPC, by its name; then its HTTP status is 200.
    """

    delay_seconds: float = 0.0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0
    abort_grpc: str = ""


@dataclass(frozen=True)
class Cors:
    """A CORS policy: which origins are allowed, and what their pages may send and read.

    Pages may use `methods` and `headers` and read `exposed_headers`. Browsers keep the answer to a
    preflight for `max_age` seconds. `allow_credentials` lets cookies pass. Empty or None: the
    policy does not say. With `forwards_unmatched` a preflight from a foreign origin goes on to a
    workload.
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
    """How often a failed request is sent again, and on which conditions (none: the mesh's own).

    `per_try_seconds` limits each try, 0 for no limit. `avoids_tried_pods` says whether a further
    try looks for another pod, None where the rule does not say.
    """

    attempts: int
    per_try_seconds: float = 0.0
    conditions: tuple[str, ...] = ()
    avoids_tried_pods: bool | None = None
