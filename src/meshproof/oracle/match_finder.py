"""Finds the first match of a route table that takes a call, without trying each of them.

Part of the oracle: nothing here is shared with `mesh/`.
"""

from __future__ import annotations

from collections import defaultdict

from meshproof.oracle.conditions import Call, list_conditions
from meshproof.rules.model import Match, RouteTable

#: What a call must have so that a match can hold: its path, the beginning of it, or a header.
_Key = tuple[str, str, str]


def match_holds(match: Match, call: Call) -> bool:
    """Say whether every condition of a match holds for the call."""
    return all(condition.holds(call) for condition in list_conditions(match))


class MatchFinder:
    """Finds which route of a table takes a call. Matches are tried only if one key of them fits."""

    def __init__(self, table: RouteTable) -> None:
        #: Each match in order, with the index of its route; None for a route without a match.
        self._entries = [
            (index, match)
            for index, route in enumerate(table.routes)
            for match in route.matches or (None,)
        ]
        self._conditions = [
            list_conditions(match) if match is not None else [] for _, match in self._entries
        ]
        self._numbers_by_key: dict[_Key, list[int]] = defaultdict(list)
        self._numbers_without_key: list[int] = []
        self._prefix_lengths: set[int] = set()
        for number, (_, match) in enumerate(self._entries):
            self._add(number, match)
        self._results: dict[Call, tuple[int | None, Match | None]] = {}

    def _add(self, number: int, match: Match | None) -> None:
        """Add the number of a match under one key that a call must have."""
        key = _choose_key(match) if match is not None else None
        if key is None:
            self._numbers_without_key.append(number)
            return
        self._numbers_by_key[key].append(number)
        if key[0] == "prefix":
            self._prefix_lengths.add(len(key[2]))

    def find(self, call: Call) -> tuple[int | None, Match | None]:
        """Return the index of the route that takes the call, and its first match that holds."""
        if call not in self._results:
            self._results[call] = self._search(call)
        return self._results[call]

    def _search(self, call: Call) -> tuple[int | None, Match | None]:
        numbers = set(self._numbers_without_key)
        keys: list[_Key] = [("path", "", call.path)]
        keys += [("prefix", "", call.path[:length]) for length in self._prefix_lengths]
        for name, value in call.headers:
            keys += [("header", name, value), ("header", name, "")]
        for key in keys:
            numbers.update(self._numbers_by_key.get(key, ()))
        for number in sorted(numbers):
            if all(condition.holds(call) for condition in self._conditions[number]):
                return self._entries[number]
        return None, None


def _choose_key(match: Match) -> _Key | None:
    """Return what a call must have so that a match can hold, None if no key says it."""
    for name, value in match.headers:
        return "header", name, value.value if value.kind == "exact" else ""
    if match.uri is not None and not match.ignore_uri_case:
        if match.uri.kind == "exact":
            return "path", "", match.uri.value
        if match.uri.kind == "prefix":
            return "prefix", "", match.uri.value
    return None
