"""The routes of every dialect in one form, for the checks that compare them.

Unlike the model in `rules/`, this one is tolerant. What cannot be read is left out (another check
reports it), and a match that was only partly read is marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.model.conditions import Condition, are_exclusive, implies
from meshproof.rules.written import Dialect, Reference, WrittenDestination


@dataclass(eq=False, slots=True)
class Match:
    """Conditions that must all hold. No conditions: every request."""

    conditions: tuple[Condition, ...]
    at: At
    is_fully_read: bool = True


@dataclass(eq=False, slots=True)
class Route:
    """A route: matches and destinations. The one with the highest `precedence` is tried first."""

    document: Document
    value: Value
    name: str
    matches: tuple[Match, ...]
    destinations: tuple[WrittenDestination, ...] = ()
    mirrors: tuple[WrittenDestination, ...] = ()
    protocol: Literal["http", "tcp", "tls"] = "http"
    precedence: int = 0

    @property
    def is_fully_read(self) -> bool:
        """True if all of its matches were fully read."""
        return all(match.is_fully_read for match in self.matches)

    def precedes(self, later: Route) -> bool:
        """Say whether this route is tried before `later` and is not replaced by it."""
        replaced = self.document is not later.document and self.name == later.name
        return self.precedence > later.precedence and not replaced

    @property
    def is_catch_all(self) -> bool:
        """True if it accepts every request."""
        return any(match.is_fully_read and not match.conditions for match in self.matches)


@dataclass(eq=False, slots=True)
class RouteTable:
    """Routes for some hosts. `gateways` are `namespace/name` or `mesh`; none means everywhere.

    `is_ordered` if the first route that accepts a request wins, else the most specific match wins.
    """

    document: Document
    dialect: Dialect
    hosts: tuple[Reference, ...]
    gateways: tuple[Reference, ...]
    routes: tuple[Route, ...]
    is_ordered: bool = True

    @property
    def applies_to_mesh(self) -> bool:
        """True if sidecars use it."""
        return not self.gateways or any(gateway.full_name == "mesh" for gateway in self.gateways)

    def routes_of(self, protocol: str) -> list[Route]:
        """Return the routes of one protocol, in order."""
        return [route for route in self.routes if route.protocol == protocol]


def covers(outer: Match, inner: Match) -> bool:
    """Say whether `outer` certainly accepts every request that `inner` accepts."""
    if not (outer.is_fully_read and inner.is_fully_read):
        return False
    return all(
        any(implies(inner_condition, outer_condition) for inner_condition in inner.conditions)
        for outer_condition in outer.conditions
    )


def find_contradiction(match: Match) -> tuple[Condition, Condition] | None:
    """Return two conditions of a match that no request satisfies together, or None."""
    for first, second in combinations(match.conditions, 2):
        if are_exclusive(first, second):
            return first, second
    return None


def format_place(at: At, message_at: At) -> str:
    """Return a place for a message about another one: the line, with the file if it differs."""
    return f"line {at.line}" if at.file == message_at.file else str(at)
