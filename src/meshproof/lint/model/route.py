"""The routes of every dialect in one form, for the checks that compare them.

Unlike the model in `rules/`, this one is tolerant: what cannot be read is left out (a finding of
another check names it), and a match that was not read whole is marked as not sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from meshproof.base.names import Labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.model.conditions import Condition, are_exclusive, implies

Dialect = Literal["VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute"]


@dataclass(eq=False, slots=True)
class Match:
    """Conditions that must all hold; none at all is: every request."""

    conditions: tuple[Condition, ...]
    at: At
    is_fully_read: bool = True


@dataclass(eq=False, slots=True)
class Destination:
    """A destination: the full host and how it is written, its subset or labels, its port."""

    host: str
    source_text: str
    at: At
    namespace: str
    subset: Value | None = None
    labels: Labels = ()
    port: Value | None = None

    @property
    def host_and_subset(self) -> tuple[str, str]:
        """Host and subset."""
        return self.host, _text(self.subset)


@dataclass(eq=False, slots=True)
class Route:
    """One branch: what it takes, where it sends that. `order` sorts routes, the highest first."""

    document: Document
    value: Value
    name: str
    matches: tuple[Match, ...]
    destinations: tuple[Destination, ...] = ()
    mirrors: tuple[Destination, ...] = ()
    protocol: Literal["http", "tcp", "tls"] = "http"
    precedence: int = 0

    @property
    def is_fully_read(self) -> bool:
        """True when all of its matches were read whole."""
        return all(match.is_fully_read for match in self.matches)

    def precedes(self, later: Route) -> bool:
        """Say whether it is asked before another, that stands after it and does not replace it."""
        replaced = self.document is not later.document and self.name == later.name
        return self.precedence > later.precedence and not replaced

    @property
    def is_catch_all(self) -> bool:
        """True when it takes every request."""
        return any(match.is_fully_read and not match.conditions for match in self.matches)


@dataclass(eq=False, slots=True)
class Reference:
    """A name that a rule mentions: in full, as written, and where."""

    full_name: str
    source_text: str
    at: At


@dataclass(eq=False, slots=True)
class RouteTable:
    """The routes for some hosts. `gateways` are `namespace/name` or `mesh`; empty is everywhere.

    `in_order` says whether the first route that takes a request decides (else the closest match).
    """

    document: Document
    dialect: Dialect
    hosts: tuple[Reference, ...]
    gateways: tuple[Reference, ...]
    routes: tuple[Route, ...]
    is_ordered: bool = True

    @property
    def applies_to_mesh(self) -> bool:
        """True when sidecars use it."""
        return not self.gateways or any(gateway.full_name == "mesh" for gateway in self.gateways)

    def routes_of(self, protocol: str) -> list[Route]:
        """Return the routes of one protocol, in order."""
        return [route for route in self.routes if route.protocol == protocol]


def covers(outer: Match, inner: Match) -> bool:
    """Say whether every request that `inner` takes is taken by `outer`, for certain."""
    if not (outer.is_fully_read and inner.is_fully_read):
        return False
    return all(
        any(implies(inner_condition, outer_condition) for inner_condition in inner.conditions)
        for outer_condition in outer.conditions
    )


def find_contradiction(match: Match) -> tuple[Condition, Condition] | None:
    """Return two conditions of a match that no request satisfies both, or None."""
    for first, second in combinations(match.conditions, 2):
        if are_exclusive(first, second):
            return first, second
    return None


def format_place(at: At, message_at: At) -> str:
    """Return a place as it is named in a message about another: the line, in another file both."""
    return f"line {at.line}" if at.file == message_at.file else str(at)


def _text(value: Value | None) -> str:
    return value.content if value is not None and isinstance(value.content, str) else ""
