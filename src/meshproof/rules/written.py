"""Routes of every dialect as they are written: each field with its place, nothing judged yet.

The readers of the dialects build the model from it and refuse what is wrong; lint's checks look
at it as it is, however broken. So each key of a route is looked up once, in the `written` module
of its dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Generic, Literal, TypeVar

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH, Labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.value import NamedByValue

Dialect = Literal["VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute"]
Protocol = Literal["http", "tls", "tcp"]
StringKind = Literal["exact", "prefix", "path_prefix", "regex"]
#: Parts of a request that each match names by a key of its own; to Envoy they are headers.
PSEUDO_HEADERS = ("uri", "scheme", "method", "authority")
#: The kinds of Istio's StringMatch, each its own key.
STRING_KINDS: tuple[Literal["exact", "prefix", "regex"], ...] = ("exact", "prefix", "regex")


@dataclass(eq=False, slots=True)
class WrittenCondition:
    """A condition on one part of a request: `uri`, `header`, `query`, `source label`, `port`, ...

    `name` is that of the header, parameter or label, as it is written. `strings` are what the part
    is compared with, by kind: none where it needs only be present, one if it is valid. Parts that
    are compared with a list have `values`. A negated one holds where the part differs.
    """

    part: str
    value: Value
    at: At
    name: str = ""
    strings: tuple[tuple[StringKind, Value], ...] = ()
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(eq=False, slots=True)
class WrittenMatch:
    """Conditions that must all hold. `is_complete` if nothing else is said in the match.

    `problems` are values of a wrong form, from which no condition could be taken.
    """

    value: Value
    conditions: tuple[WrittenCondition, ...]
    is_complete: bool
    problems: tuple[BadRules, ...] = ()
    ignores_uri_case: Value | None = None

    def find(self, part: str, name: str = "") -> WrittenCondition | None:
        """Return the condition on a part of the request, None without one."""
        for condition in self.conditions:
            if condition.part == part and condition.name == name:
                return condition
        return None

    def list(self, part: str, negated: bool = False) -> Iterator[WrittenCondition]:
        """Yield the conditions on each header, parameter or label."""
        for condition in self.conditions:
            if condition.part == part and condition.negated == negated:
                yield condition

    def check_form(self) -> None:
        """Raise the first problem of the match's form."""
        for problem in self.problems:
            raise problem


@dataclass(eq=False, slots=True)
class Reference(NamedByValue):
    """A name in a rule: in full, its text in the file, and the value that has it.

    A gateway may be narrowed to a `section` or a `port`.
    """

    full_name: str
    source_text: str
    named_by: Value
    section: Value | None = None
    port: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenDestination(NamedByValue):
    """A destination: full host, its text in the file and the value that has it, subset, port.

    `labels` stand for a subset. `value` is None where a RouteRule leaves it out: then it is for the
    rule's own service.
    """

    host: str
    source_text: str
    named_by: Value
    namespace: str
    subset: Value | None = None
    labels: Labels = ()
    labels_value: Value | None = None
    value: Value | None = None
    port: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenRedirect:
    """A redirect: what is absent stays as it was in the request. `prefix` replaces what matched.

    `derived_port` says where the port comes from instead. `path_change` is Gateway API's, which
    has the path or the prefix.
    """

    value: Value
    path: Value | None
    prefix: Value | None
    host: Value | None
    scheme: Value | None
    port: Value | None
    code: Value | None
    derived_port: Value | None = None
    path_change: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenRewrite:
    """A rewrite: `prefix` replaces what matched, `path` all of it, `pattern` what it matches.

    `regex` is what holds the pattern and its `substitution`. `path_change` is Gateway API's, which
    has the path or the prefix.
    """

    value: Value
    prefix: Value | None
    host: Value | None
    path: Value | None = None
    regex: Value | None = None
    pattern: Value | None = None
    substitution: Value | None = None
    path_change: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenDirectResponse:
    """An answer of the proxy itself; its body is a `text` or `binary`, in base64."""

    status: Value | None
    text: Value | None
    binary: Value | None


@dataclass(eq=False, slots=True)
class WrittenPercentage:
    """A share of the requests; its number may be missing."""

    value: Value
    number: Value | None


@dataclass(eq=False, slots=True)
class WrittenFault:
    """A `delay` or an `abort`, and the share of requests that get it.

    A delay has a `duration`, an abort a `status` of HTTP or of gRPC.
    """

    kind: Literal["delay", "abort"]
    value: Value
    percentage: WrittenPercentage | None = None
    duration: Value | None = None
    status: Value | None = None
    grpc_status: Value | None = None

    @property
    def share(self) -> Value | None:
        """The number of the percentage."""
        return self.percentage.number if self.percentage is not None else None


@dataclass(eq=False, slots=True)
class WrittenLimits:
    """The timeout of a request, that of each try, and how often a request is tried again.

    `retries` hold the attempts and the `conditions` on which a request is tried again, `timeouts`
    the timeout where that is not one of the route's own keys.
    """

    timeout: Value | None
    try_timeout: Value | None
    attempts: Value | None
    conditions: Value | None = None
    retries: Value | None = None
    timeouts: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenHeader:
    """A header that is set or added, and where its name stands. `path` is that of what names it.

    Gateway API has the name as a value of its own.
    """

    name: str
    value: Value
    at: At
    path: str
    name_value: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenHeaderChanges:
    """The headers that a request or a response gets or loses."""

    value: Value
    set: tuple[WrittenHeader, ...]
    add: tuple[WrittenHeader, ...]
    removed: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class WrittenHeaders:
    """The changes of a request's headers and of a response's."""

    request: WrittenHeaderChanges | None = None
    response: WrittenHeaderChanges | None = None


#: Most routes change no header and have no limit: these are one object for all of them.
NO_HEADERS = WrittenHeaders()
NO_LIMITS = WrittenLimits(None, None, None)


@dataclass(eq=False, slots=True)
class WrittenEntry:
    """One entry of a split: where it sends to, what share, and its header changes."""

    value: Value
    weight: Value | None
    destination: WrittenDestination | None
    headers: WrittenHeaders = NO_HEADERS


@dataclass(eq=False, slots=True)
class WrittenSplit:
    """The destinations that share the requests of a route. `at` is where its key stands.

    One without a weight has `default_weight`.
    """

    kind: str
    at: At
    value: Value
    entries: tuple[WrittenEntry, ...]
    default_weight: int

    @property
    def path(self) -> str:
        """The path of the list."""
        return self.value.path

    @property
    def weights(self) -> list[int] | None:
        """The weight of every entry, or None if one is no whole number."""
        weights = []
        for entry in self.entries:
            content = self.default_weight if entry.weight is None else entry.weight.content
            if isinstance(content, bool) or not isinstance(content, int):
                return None
            weights.append(content)
        return weights

    @property
    def entries_without_weight(self) -> list[Value]:
        """The entries that have no weight."""
        return [entry.value for entry in self.entries if "weight" not in entry.value.mapping()]


@dataclass(eq=False, slots=True)
class WrittenMirror:
    """Where copies go, and the share of the requests that are copied.

    `is_only` is Istio's `mirror`, which is no list. `target` is None without a host.
    """

    value: Value
    destination: Value | None
    target: WrittenDestination | None
    percentage: WrittenPercentage | None = None
    fraction: Value | None = None
    is_only: bool = False


@dataclass(eq=False, slots=True)
class WrittenCors:
    """A CORS policy. `exact_origins` are whole strings, `origins` may be more."""

    value: Value
    origins: tuple[Value, ...] | None
    exact_origins: tuple[Value, ...]
    methods: tuple[Value, ...]
    headers: tuple[Value, ...]
    exposed_headers: tuple[Value, ...]
    max_age: Value | None
    allow_credentials: Value | None
    unmatched_preflights: Value | None


@dataclass(eq=False, slots=True)
class WrittenActions:
    """What a route does with a request.

    `problems` are values of a wrong form, and required ones that are missing.
    """

    split: WrittenSplit | None = None
    redirect: WrittenRedirect | None = None
    limits: WrittenLimits = NO_LIMITS
    faults: tuple[WrittenFault, ...] = ()
    headers: WrittenHeaders = NO_HEADERS
    rewrite: WrittenRewrite | None = None
    direct_response: WrittenDirectResponse | None = None
    mirrors: tuple[WrittenMirror, ...] = ()
    cors: WrittenCors | None = None
    problems: tuple[BadRules, ...] = ()

    @property
    def removed_headers(self) -> tuple[Value, ...]:
        """The headers that requests lose."""
        entries = self.split.entries if self.split is not None else ()
        return tuple(
            name
            for headers in (self.headers, *(entry.headers for entry in entries))
            if headers.request is not None
            for name in headers.request.removed
        )

    @property
    def strings(self) -> Iterator[WrittenCondition]:
        """That with which something beside a match compares a request: its origin, its path."""
        for origin in (self.cors and self.cors.origins) or ():
            if strings := read_strings(origin):
                yield WrittenCondition("origin", origin, origin.at, strings=strings)
        if self.rewrite is not None and (pattern := self.rewrite.pattern) is not None:
            yield WrittenCondition("rewrite", pattern, pattern.at, strings=(("regex", pattern),))

    def check_form(self) -> None:
        """Raise the first problem of the form of the actions."""
        for problem in self.problems:
            raise problem


#: A match as it is written, or what somebody has made of it.
MatchT = TypeVar("MatchT")
OtherT = TypeVar("OtherT")


@dataclass(eq=False, slots=True)
class WrittenRoute(Generic[MatchT]):
    """One route of a document. The one with the highest `precedence` is tried first.

    `takes_all` if it has no match at all, so that it takes every request.
    """

    document: Document
    value: Value
    name: str
    matches: tuple[MatchT, ...]
    takes_all: bool
    actions: WrittenActions
    protocol: Protocol = "http"
    precedence: int = 0

    @property
    def destinations(self) -> tuple[WrittenDestination, ...]:
        """The destinations that share the requests, those that have a host."""
        entries = self.actions.split.entries if self.actions.split is not None else ()
        return tuple(entry.destination for entry in entries if entry.destination is not None)

    @property
    def mirrors(self) -> tuple[WrittenDestination, ...]:
        """The destinations of copies, those that have a host."""
        return tuple(mirror.target for mirror in self.actions.mirrors if mirror.target is not None)

    def precedes(self, later: WrittenRoute[MatchT]) -> bool:
        """Say whether this route is tried before `later` and is not replaced by it."""
        replaced = self.document is not later.document and self.name == later.name
        return self.precedence > later.precedence and not replaced

    def with_matches(self, matches: tuple[OtherT, ...]) -> WrittenRoute[OtherT]:
        """Return the same route with other matches."""
        return WrittenRoute(**{**_list_fields(self), "matches": matches})


@dataclass(eq=False, slots=True)
class WrittenTable(Generic[MatchT]):
    """Routes for some hosts. `gateways` are `namespace/name` or `mesh`; none means everywhere.

    `is_ordered` if the first route that accepts a request wins, else the most specific match wins.
    """

    document: Document
    dialect: Dialect
    hosts: tuple[Reference, ...]
    gateways: tuple[Reference, ...]
    routes: tuple[WrittenRoute[MatchT], ...]
    is_ordered: bool = True

    @property
    def applies_to_mesh(self) -> bool:
        """True if sidecars use it."""
        return not self.gateways or any(gateway.full_name == MESH for gateway in self.gateways)

    def routes_of(self, protocol: str) -> list[WrittenRoute[MatchT]]:
        """Return the routes of one protocol, in order."""
        return [route for route in self.routes if route.protocol == protocol]

    def with_routes(self, routes: Iterable[WrittenRoute[OtherT]]) -> WrittenTable[OtherT]:
        """Return the same table with other routes."""
        return WrittenTable(**{**_list_fields(self), "routes": tuple(routes)})


def _list_fields(written: Any) -> dict[str, Any]:
    """Return the fields of something written, by name."""
    return {field.name: getattr(written, field.name) for field in fields(written)}


#: Gives the routes of a document as they are written.
ListRoutes = Callable[[Document], Iterable[WrittenRoute[WrittenMatch]]]


class FieldReader:
    """Looks fields up. Values of a wrong form, and required ones that are missing, are `problems`.

    Whoever must not go on then raises them; for all others such a field is not there.
    """

    def __init__(self) -> None:
        self.problems: list[BadRules] = []

    def get(self, parent: Value | None, *path: str) -> Value | None:
        """Return the value at a path below `parent`, None without one."""
        for key in path:
            if parent is None:
                return None
            parent = self.mapping(parent).get(key)
            if parent is not None and parent.content is None:
                return None
        return parent

    def need(self, parent: Value | None, *path: str) -> Value | None:
        """Return the value at a path below `parent`, of which each key must be there."""
        for key in path:
            if parent is None:
                return None
            try:
                parent = parent.need(key)
            except BadRules as error:
                self.problems.append(error)
                return None
        return parent

    def items(self, parent: Value | None, *path: str) -> tuple[Value, ...]:
        """Return the entries of the list at a path below `parent`."""
        value = self.get(parent, *path)
        if value is None:
            return ()
        if isinstance(value.content, list):
            return tuple(value.content)
        self.problems.append(value.error("a list"))
        return ()

    def mapping(self, value: Value) -> dict[str, Value]:
        """Return a mapping as it is; of anything else nothing."""
        return read_mapping(value, self.problems)

    def is_mapping(self, value: Value) -> bool:
        """Say whether a value is a mapping; that it is not is a problem."""
        read_mapping(value, self.problems)
        return isinstance(value.content, dict)


def read_split(
    fields: FieldReader,
    kind: str,
    value: Value | None,
    at: At,
    default_weight: int,
    read_entry: Callable[[Value], WrittenEntry],
) -> WrittenSplit | None:
    """Return the split of a route in a document of `kind`, None where it is no list.

    `at` is where its key stands.
    """
    if value is None or not isinstance(value.content, list):
        fields.items(value)
        return None
    entries = (entry for entry in value.content if fields.is_mapping(entry))
    return WrittenSplit(kind, at, value, tuple(map(read_entry, entries)), default_weight)


def read_redirect(fields: FieldReader, redirect: Value | None) -> WrittenRedirect | None:
    """Return Istio's HTTPRedirect."""
    if redirect is None:
        return None
    return WrittenRedirect(
        redirect,
        fields.get(redirect, "uri"),
        fields.get(redirect, "prefixRewrite"),
        fields.get(redirect, "authority"),
        fields.get(redirect, "scheme"),
        fields.get(redirect, "port"),
        fields.get(redirect, "redirectCode"),
        fields.get(redirect, "derivePort"),
    )


def read_rewrite(fields: FieldReader, rewrite: Value | None) -> WrittenRewrite | None:
    """Return Istio's HTTPRewrite."""
    if rewrite is None:
        return None
    regex = fields.get(rewrite, "uriRegexRewrite")
    return WrittenRewrite(
        rewrite,
        fields.get(rewrite, "uri"),
        fields.get(rewrite, "authority"),
        regex=regex,
        pattern=fields.need(regex, "match"),
        substitution=fields.get(regex, "rewrite"),
    )


def read_percentage(
    fields: FieldReader, parent: Value, key: str, *deprecated_keys: str
) -> WrittenPercentage | None:
    """Return the percentage under `key`, as {value: 12.5}, or under a deprecated one, as 12."""
    percentage = fields.get(parent, key)
    if percentage is not None:
        return WrittenPercentage(percentage, fields.get(percentage, "value"))
    for deprecated_key in deprecated_keys:
        if (deprecated := fields.get(parent, deprecated_key)) is not None:
            return WrittenPercentage(deprecated, deprecated)
    return None


def read_faults(fields: FieldReader, fault: Value | None) -> tuple[WrittenFault, ...]:
    """Return the delay and the abort of Istio's HTTPFaultInjection."""
    faults = []
    delay, abort = fields.get(fault, "delay"), fields.get(fault, "abort")
    if delay is not None:
        share = read_percentage(fields, delay, "percentage", "percent")
        faults.append(WrittenFault("delay", delay, share, fields.need(delay, "fixedDelay")))
    if abort is not None:
        share = read_percentage(fields, abort, "percentage", "percent")
        grpc_status = fields.get(abort, "grpcStatus")
        status = (fields.need if grpc_status is None else fields.get)(abort, "httpStatus")
        faults.append(WrittenFault("abort", abort, share, status=status, grpc_status=grpc_status))
    return tuple(faults)


def read_cors(fields: FieldReader, policy: Value | None) -> WrittenCors | None:
    """Return a CORS policy of any dialect: each has some of the keys."""
    if policy is None:
        return None
    has_origins = fields.get(policy, "allowOrigins") is not None
    return WrittenCors(
        policy,
        fields.items(policy, "allowOrigins") if has_origins else None,
        fields.items(policy, "allowOrigin"),
        fields.items(policy, "allowMethods"),
        fields.items(policy, "allowHeaders"),
        fields.items(policy, "exposeHeaders"),
        fields.get(policy, "maxAge"),
        fields.get(policy, "allowCredentials"),
        fields.get(policy, "unmatchedPreflights"),
    )


def read_strings(value: Value) -> tuple[tuple[StringKind, Value], ...]:
    """Return the strings of one of Istio's StringMatches; exactly one is valid."""
    content = value.content if isinstance(value.content, dict) else {}
    return tuple((kind, content[kind]) for kind in STRING_KINDS if kind in content)


def read_mapping(value: Value, problems: list[BadRules]) -> dict[str, Value]:
    """Return a mapping; of anything else nothing, and its problem goes to `problems`."""
    if isinstance(value.content, dict):
        return value.content
    problems.append(value.error("a mapping"))
    return {}
