"""Which matches are taken by others: found by an index, so that thousands of them take no time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Match, Route, RouteTable, covers
from meshproof.lint.model.route_tables import tables

Key = tuple[str, str, str]


@dataclass
class Index:
    """Matches with their routes, filed under a condition that another must imply to be covered."""

    _filed: dict[Key, list[int]] = field(default_factory=dict)
    _rest: list[int] = field(default_factory=list)
    _entries: list[tuple[Route, Match]] = field(default_factory=list)

    def add(self, route: Route, match: Match) -> None:
        """File a match. One that is not sure covers nothing."""
        if not match.sure:
            return
        number = len(self._entries)
        self._entries.append((route, match))
        keys = next((keys for one in match.conditions if (keys := list(_filed_under(one)))), [])
        for key in keys:
            self._filed.setdefault(key, []).append(number)
        if not keys:
            self._rest.append(number)

    def covering(self, match: Match) -> Iterator[tuple[Route, Match]]:
        """Yield the matches that take all that this one takes, in the order of filing."""
        found = set(self._rest)
        for one in match.conditions:
            for key in _looked_up(one):
                found.update(self._filed.get(key, ()))
        for number in sorted(found):
            route, other = self._entries[number]
            if other is not match and covers(other, match):
                yield route, other


def _filed_under(one: Condition) -> Iterator[Key]:
    """Yield the keys of a condition: whatever implies it looks one of them up."""
    if one.negated or one.fold:
        return
    if one.sort in ("exact", "prefix", "path"):
        yield ("exact" if one.sort == "exact" else "start", one.part, one.text)
    elif one.sort == "regex" and not regexes.open_ended(one.text):
        yield ("same", one.part, one.text)
        yield ("regex", one.part, "")


def _looked_up(one: Condition) -> Iterator[Key]:
    if one.negated or one.fold:
        return
    start = one.text
    if one.sort == "exact":
        yield ("exact", one.part, one.text)
        yield ("regex", one.part, "")
    elif one.sort == "regex":
        yield ("same", one.part, one.text)
        start = regexes.leading(one.text)
    elif one.sort not in ("prefix", "path"):
        return
    for length in range(len(start) + 1):
        yield ("start", one.part, start[:length])


@lru_cache(maxsize=2)
def taken_before(project: Project) -> dict[int, tuple[Route, Match]]:
    """Return for each match (by its id) the earlier route that takes all of it, and by which match.

    Routes that take every request are left out: they are reported themselves (MP0304).
    """
    found: dict[int, tuple[Route, Match]] = {}
    for table in tables(project):
        if table.in_order:
            for protocol in ("http", "tls", "tcp"):
                found.update(_taken(table, protocol))
    return found


def _taken(table: RouteTable, protocol: str) -> Iterator[tuple[int, tuple[Route, Match]]]:
    index = Index()
    for route in table.of(protocol):
        for match in route.matches:
            for earlier, other in index.covering(match):
                if earlier.is_before(route):
                    yield id(match), (earlier, other)
                    break
        if not route.takes_all:
            for match in route.matches:
                index.add(route, match)
