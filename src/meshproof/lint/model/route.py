"""Matches of routes as conditions that can be compared, for the checks that do so.

What cannot be read is left out (another check reports it), and a match that was only partly read is
marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from meshproof.documents.manifest import At
from meshproof.lint.model.conditions import Condition, are_exclusive, implies
from meshproof.rules.written import WrittenRoute, WrittenTable


@dataclass(eq=False, slots=True)
class Match:
    """Conditions that must all hold. No conditions: every request."""

    conditions: tuple[Condition, ...]
    at: At
    is_fully_read: bool = True


Route: TypeAlias = WrittenRoute[Match]
RouteTable: TypeAlias = WrittenTable[Match]


def is_fully_read(route: Route) -> bool:
    """Say whether all matches of a route were fully read."""
    return all(match.is_fully_read for match in route.matches)


def is_catch_all(route: Route) -> bool:
    """Say whether a route accepts every request."""
    return any(match.is_fully_read and not match.conditions for match in route.matches)


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
