"""Routes of every dialect as they are written: each field with its place, nothing judged yet.

The readers of the dialects build the model from it and refuse what is wrong; lint's checks look
at it as it is, however broken. So each key of a route is looked up once, in the `written` module
of its dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH, Labels
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
    """A name in a rule: in full, its text in the file, and where."""

    full_name: str
    source_text: str
    at: At


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
class WrittenRoute:
    """One route of a document. The one with the highest `precedence` is tried first.

    `takes_all` if it has no match at all, so that it takes every request.
    """

    document: Document
    value: Value
    name: str
    matches: tuple[WrittenMatch, ...]
    takes_all: bool
    destinations: tuple[WrittenDestination, ...] = ()
    mirrors: tuple[WrittenDestination, ...] = ()
    protocol: Protocol = "http"
    precedence: int = 0


@dataclass(eq=False, slots=True)
class WrittenTable:
    """Routes for some hosts. `gateways` are `namespace/name` or `mesh`; none means everywhere.

    `is_ordered` if the first route that accepts a request wins, else the most specific match wins.
    """

    document: Document
    dialect: Dialect
    hosts: tuple[Reference, ...]
    gateways: tuple[Reference, ...]
    routes: tuple[WrittenRoute, ...]
    is_ordered: bool = True

    @property
    def applies_to_mesh(self) -> bool:
        """True if sidecars use it."""
        return not self.gateways or any(gateway.full_name == MESH for gateway in self.gateways)


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
