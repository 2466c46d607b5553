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
from meshproof.lint.model.conditions import Condition, apart, implies

Dialect = Literal["VirtualService", "RouteRule", "HTTPRoute", "GRPCRoute"]


@dataclass(eq=False, slots=True)
class Match:
    """Conditions that must all hold; none at all is: every request."""

    conditions: tuple[Condition, ...]
    at: At
    sure: bool = True


@dataclass(eq=False, slots=True)
class Target:
    """A destination: the full host and how it is written, its subset or labels, its port."""

    host: str
    written: str
    at: At
    namespace: str
    subset: Value | None = None
    labels: Labels = ()
    port: Value | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Host and subset."""
        return self.host, _text(self.subset)


@dataclass(eq=False, slots=True)
class Route:
    """One branch: what it takes, where it sends that. `order` sorts routes, the highest first."""

    document: Document
    value: Value
    name: str
    matches: tuple[Match, ...]
    targets: tuple[Target, ...] = ()
    mirrors: tuple[Target, ...] = ()
    protocol: Literal["http", "tcp", "tls"] = "http"
    order: int = 0

    @property
    def sure(self) -> bool:
        """True when all of its matches were read whole."""
        return all(match.sure for match in self.matches)

    def is_before(self, later: Route) -> bool:
        """Say whether it is asked before another, that stands after it and does not replace it."""
        replaced = self.document is not later.document and self.name == later.name
        return self.order > later.order and not replaced

    @property
    def takes_all(self) -> bool:
        """True when it takes every request."""
        return any(match.sure and not match.conditions for match in self.matches)


@dataclass(eq=False, slots=True)
class Name:
    """A name that a rule mentions: in full, as written, and where."""

    full: str
    written: str
    at: At


@dataclass(eq=False, slots=True)
class RouteTable:
    """The routes for some hosts. `gateways` are `namespace/name` or `mesh`; empty is everywhere.

    `in_order` says whether the first route that takes a request decides (else the closest match).
    """

    document: Document
    dialect: Dialect
    hosts: tuple[Name, ...]
    gateways: tuple[Name, ...]
    routes: tuple[Route, ...]
    in_order: bool = True

    @property
    def in_mesh(self) -> bool:
        """True when sidecars use it."""
        return not self.gateways or any(one.full == "mesh" for one in self.gateways)

    def of(self, protocol: str) -> list[Route]:
        """Return the routes of one protocol, in order."""
        return [route for route in self.routes if route.protocol == protocol]


def covers(outer: Match, inner: Match) -> bool:
    """Say whether every request that `inner` takes is taken by `outer`, for certain."""
    if not (outer.sure and inner.sure):
        return False
    return all(any(implies(one, wanted) for one in inner.conditions) for wanted in outer.conditions)


def impossible(match: Match) -> tuple[Condition, Condition] | None:
    """Return two conditions of a match that no request satisfies both, or None."""
    for one, other in combinations(match.conditions, 2):
        if apart(one, other):
            return one, other
    return None


def near(place: At, seen_from: At) -> str:
    """Return a place as it is named in a message about another: the line, in another file both."""
    return f"line {place.line}" if place.file == seen_from.file else str(place)


def _text(value: Value | None) -> str:
    return value.content if value is not None and isinstance(value.content, str) else ""
