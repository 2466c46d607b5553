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
from meshproof.documents.lookup import get_value
from meshproof.documents.manifest import At, Document, Value

Dialect = Literal["VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute"]
Protocol = Literal["http", "tls", "tcp"]
StringKind = Literal["exact", "prefix", "path_prefix", "regex"]
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
class Reference:
    """A name in a rule: in full, its text in the file, and where.

    A gateway may be narrowed to a `section` or a `port`.
    """

    full_name: str
    source_text: str
    at: At
    section: Value | None = None
    port: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenDestination:
    """A destination: full host and its text in the file, subset or labels, port."""

    host: str
    source_text: str
    at: At
    namespace: str
    subset: Value | None = None
    labels: Labels = ()
    port: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenSplit:
    """The destinations that share the requests of a route. `at` is where its key stands.

    `entries` are those that are mappings; one without a weight has `default_weight`.
    """

    kind: str
    at: At
    path: str
    entries: tuple[Value, ...]
    default_weight: int

    @property
    def weights(self) -> list[int] | None:
        """The weight of every entry, or None if one is no whole number."""
        weights = []
        for entry in self.entries:
            weight = entry.mapping().get("weight")
            content = self.default_weight if weight is None else weight.content
            if isinstance(content, bool) or not isinstance(content, int):
                return None
            weights.append(content)
        return weights

    @property
    def entries_without_weight(self) -> list[Value]:
        """The entries that have no weight."""
        return [entry for entry in self.entries if "weight" not in entry.mapping()]


@dataclass(eq=False, slots=True)
class WrittenRedirect:
    """A redirect: what is absent stays as it was in the request. `prefix` replaces what matched.

    `derived_port` says where the port comes from instead.
    """

    value: Value
    path: Value | None
    prefix: Value | None
    host: Value | None
    scheme: Value | None
    port: Value | None
    code: Value | None
    derived_port: Value | None = None


@dataclass(eq=False, slots=True)
class WrittenFault:
    """A `delay` or an `abort`, and the share of requests that get it."""

    kind: Literal["delay", "abort"]
    value: Value
    percentage: Value | None


@dataclass(eq=False, slots=True)
class WrittenLimits:
    """The timeout of a request, that of each try, and how often a request is tried again."""

    timeout: Value | None
    try_timeout: Value | None
    attempts: Value | None


@dataclass(eq=False, slots=True)
class WrittenActions:
    """What a route does with a request, but for destinations and mirrors.

    `removed_headers` are those of requests. `strings` are those with which something beside a
    match compares a request: a CORS policy its origin, a rewrite its path.
    """

    split: WrittenSplit | None
    redirect: WrittenRedirect | None
    limits: WrittenLimits
    faults: tuple[WrittenFault, ...] = ()
    removed_headers: tuple[Value, ...] = ()
    strings: tuple[WrittenCondition, ...] = ()


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
    destinations: tuple[WrittenDestination, ...] = ()
    mirrors: tuple[WrittenDestination, ...] = ()
    protocol: Protocol = "http"
    precedence: int = 0

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


def read_split(kind: str, parent: Value, key: str, default_weight: int) -> WrittenSplit | None:
    """Return the split under a key of a route in a document of `kind`, None where it is no list."""
    entries = get_value(parent, key)
    if entries is None or not isinstance(entries.content, list):
        return None
    return WrittenSplit(
        kind,
        parent.keys.get(key, entries.at),
        entries.path,
        tuple(entry for entry in entries.content if isinstance(entry.content, dict)),
        default_weight,
    )


def read_redirect(redirect: Value | None) -> WrittenRedirect | None:
    """Return Istio's HTTPRedirect."""
    if redirect is None:
        return None
    return WrittenRedirect(
        redirect,
        get_value(redirect, "uri"),
        get_value(redirect, "prefixRewrite"),
        get_value(redirect, "authority"),
        get_value(redirect, "scheme"),
        get_value(redirect, "port"),
        get_value(redirect, "redirectCode"),
        get_value(redirect, "derivePort"),
    )


def read_faults(fault: Value | None) -> tuple[WrittenFault, ...]:
    """Return the delay and the abort of Istio's HTTPFaultInjection."""
    faults = []
    kinds: tuple[Literal["delay", "abort"], ...] = ("delay", "abort")
    for kind in kinds:
        value = get_value(fault, kind)
        if value is not None:
            percentage = get_value(value, "percentage")
            deprecated = get_value(value, "percent")
            share = deprecated if percentage is None else get_value(percentage, "value")
            faults.append(WrittenFault(kind, value, share))
    return tuple(faults)


def read_destinations(
    values: Iterable[Value],
    namespace: str,
    read: Callable[[Value, str], WrittenDestination | None],
) -> tuple[WrittenDestination, ...]:
    """Return the destinations that `read` finds in values of a rule in `namespace`."""
    destinations = (read(value, namespace) for value in values)
    return tuple(destination for destination in destinations if destination is not None)


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
