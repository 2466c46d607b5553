"""Which matches are taken by others: found by an index, so that thousands of them take no time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Match, Route, RouteTable, covers
from meshproof.lint.model.route_tables import read_route_tables

ConditionKey = tuple[str, str, str]


@dataclass
class MatchIndex:
    """Matches with their routes, filed under a condition that another must imply to be covered."""

    _numbers_by_key: dict[ConditionKey, list[int]] = field(default_factory=dict)
    _numbers_without_key: list[int] = field(default_factory=list)
    _entries: list[tuple[Route, Match]] = field(default_factory=list)

    def add(self, route: Route, match: Match) -> None:
        """File a match. One that is not sure covers nothing."""
        if not match.is_fully_read:
            return
        number = len(self._entries)
        self._entries.append((route, match))
        keys = next((keys for one in match.conditions if (keys := list(_list_keys(one)))), [])
        for key in keys:
            self._numbers_by_key.setdefault(key, []).append(number)
        if not keys:
            self._numbers_without_key.append(number)

    def find_covering(self, match: Match) -> Iterator[tuple[Route, Match]]:
        """Yield the matches that take all that this one takes, in the order of filing."""
        found = set(self._numbers_without_key)
        for one in match.conditions:
            for key in _list_lookup_keys(one):
                found.update(self._numbers_by_key.get(key, ()))
        for number in sorted(found):
            route, other = self._entries[number]
            if other is not match and covers(other, match):
                yield route, other


def _list_keys(one: Condition) -> Iterator[ConditionKey]:
    """Yield the keys of a condition: whatever implies it looks one of them up."""
    if one.negated or one.ignores_case:
        return
    if one.match_type in ("exact", "prefix", "path"):
        yield ("exact" if one.match_type == "exact" else "start", one.part, one.text)
    elif one.match_type == "regex" and not regexes.is_open_ended(one.text):
        yield ("same", one.part, one.text)
        yield ("regex", one.part, "")


def _list_lookup_keys(one: Condition) -> Iterator[ConditionKey]:
    if one.negated or one.ignores_case:
        return
    start = one.text
    if one.match_type == "exact":
        yield ("exact", one.part, one.text)
        yield ("regex", one.part, "")
    elif one.match_type == "regex":
        yield ("same", one.part, one.text)
        start = regexes.find_leading_text(one.text)
    elif one.match_type not in ("prefix", "path"):
        return
    for length in range(len(start) + 1):
        yield ("start", one.part, start[:length])


@lru_cache(maxsize=2)
def find_shadowed_matches(project: Project) -> dict[int, tuple[Route, Match]]:
    """Return for each match (by its id) the earlier route that takes all of it, and by which match.

    Routes that take every request are left out: they are reported themselves (MP0304).
    """
    found: dict[int, tuple[Route, Match]] = {}
    for table in read_route_tables(project):
        if table.is_ordered:
            for protocol in ("http", "tls", "tcp"):
                found.update(_find_shadowed(table, protocol))
    return found


def _find_shadowed(table: RouteTable, protocol: str) -> Iterator[tuple[int, tuple[Route, Match]]]:
    index = MatchIndex()
    for route in table.routes_of(protocol):
        for match in route.matches:
            for earlier, other in index.find_covering(match):
                if earlier.precedes(route):
                    yield id(match), (earlier, other)
                    break
        if not route.is_catch_all:
            for match in route.matches:
                index.add(route, match)
