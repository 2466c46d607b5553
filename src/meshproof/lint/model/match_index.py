"""Finds the matches that cover others. An index keeps this fast for thousands of matches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Match, Route, RouteTable, covers, is_catch_all
from meshproof.lint.model.route_tables import read_route_tables

ConditionKey = tuple[str, str, str]


@dataclass
class MatchIndex:
    """Matches with their routes, indexed by a condition that a covered match must imply."""

    _numbers_by_key: dict[ConditionKey, list[int]] = field(default_factory=dict)
    _numbers_without_key: list[int] = field(default_factory=list)
    #: The lengths of the beginnings that are keys: others need no lookup.
    _beginning_lengths: set[int] = field(default_factory=set)
    _entries: list[tuple[Route, Match]] = field(default_factory=list)

    def add(self, route: Route, match: Match) -> None:
        """Add a match. One that is not fully read covers nothing and is left out."""
        if not match.is_fully_read:
            return
        number = len(self._entries)
        self._entries.append((route, match))
        keys = next(
            (keys for condition in match.conditions if (keys := list(_list_keys(condition)))), []
        )
        for key in keys:
            self._numbers_by_key.setdefault(key, []).append(number)
            if key[0] == "start":
                self._beginning_lengths.add(len(key[2]))
        if not keys:
            self._numbers_without_key.append(number)

    def find_covering(self, match: Match) -> Iterator[tuple[Route, Match]]:
        """Yield the matches that accept every request that `match` accepts, in order."""
        numbers = set(self._numbers_without_key)
        for condition in match.conditions:
            for key in _list_lookup_keys(condition, self._beginning_lengths):
                numbers.update(self._numbers_by_key.get(key, ()))
        for number in sorted(numbers):
            route, indexed_match = self._entries[number]
            if indexed_match is not match and covers(indexed_match, match):
                yield route, indexed_match


def _list_keys(condition: Condition) -> Iterator[ConditionKey]:
    """Yield the index keys of a condition. A condition that implies it looks one of them up."""
    if condition.negated or condition.ignores_case:
        return
    if condition.match_type in ("exact", "prefix", "path"):
        yield (
            "exact" if condition.match_type == "exact" else "start",
            condition.part,
            condition.text,
        )
    elif condition.match_type == "regex" and not regexes.is_open_ended(condition.text):
        yield ("same", condition.part, condition.text)
        yield ("regex", condition.part, "")


def _list_lookup_keys(condition: Condition, lengths: Collection[int]) -> Iterator[ConditionKey]:
    """Yield the keys under which conditions implied by this one are indexed.

    `lengths` are those of the beginnings that are indexed.
    """
    if condition.negated or condition.ignores_case:
        return
    beginning = condition.text
    if condition.match_type == "exact":
        yield ("exact", condition.part, condition.text)
        yield ("regex", condition.part, "")
    elif condition.match_type == "regex":
        yield ("same", condition.part, condition.text)
        beginning = regexes.find_leading_text(condition.text)
    elif condition.match_type not in ("prefix", "path"):
        return
    for length in (length for length in lengths if length <= len(beginning)):
        yield ("start", condition.part, beginning[:length])


@lru_cache(maxsize=2)
def find_shadowed_matches(project: Project) -> dict[int, tuple[Route, Match]]:
    """Return by id of each shadowed match the earlier route and match that cover it.

    Routes that accept every request are left out: MP0304 reports those.
    """
    shadowed: dict[int, tuple[Route, Match]] = {}
    for table in read_route_tables(project):
        if table.is_ordered:
            for protocol in ("http", "tls", "tcp"):
                shadowed.update(_find_shadowed(table, protocol))
    return shadowed


def _find_shadowed(table: RouteTable, protocol: str) -> Iterator[tuple[int, tuple[Route, Match]]]:
    """Yield the shadowed matches of one protocol in a table."""
    index = MatchIndex()
    for route in table.routes_of(protocol):
        for match in route.matches:
            for earlier_route, earlier_match in index.find_covering(match):
                if earlier_route.precedes(route):
                    yield id(match), (earlier_route, earlier_match)
                    break
        if not is_catch_all(route):
            for match in route.matches:
                index.add(route, match)
