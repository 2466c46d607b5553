"""Requests that two matches take. They show that the first route decides, not a later one.

Part of the oracle: nothing here is shared with `mesh/`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshproof.oracle import strings
from meshproof.oracle.conditions import Call, Condition, Pairs, is_sendable_path, list_conditions
from meshproof.rules.model import Match, RouteTable

#: The maximum number of cases that a route table gets for overlaps alone.
MAX_CASES = 100
#: The maximum number of pairs of a match and a later route that are checked.
MAX_PAIRS = 5000
#: The maximum number of values for each condition, and of calls after each part.
_MAX_VALUES = 6
#: The maximum number of values of each of two conditions that are combined.
_MAX_COMBINED = 2
#: Separators between two values in one header: of a cookie, of a list, none.
_SEPARATORS = ("; ", ", ", "")


def pair_with_later_routes(table: RouteTable) -> Iterator[tuple[int, Match, int]]:
    """Yield each match with the index of its route and of a later route, neighbours first."""
    count = len(table.routes)
    for distance in range(1, count):
        for index in range(count - distance):
            for match in table.routes[index].matches:
                yield index, match, index + distance


def find_common_calls(first: Match, second: Match, entrance: Call) -> Iterator[Call]:
    """Yield calls at an entrance that satisfy both matches, if any are found.

    Each part of a request (its path, one header) is changed on its own.
    """
    calls = [entrance]
    first_parts, second_parts = _group_by_part(first), _group_by_part(second)
    for part in dict.fromkeys((*first_parts, *second_parts)):
        conditions = [*first_parts.get(part, ()), *second_parts.get(part, ())]
        changed = (
            changed_call
            for call in calls
            for changed_call in itertools.islice(_satisfy_part(conditions, call), _MAX_VALUES)
        )
        calls = list(itertools.islice(dict.fromkeys(changed), _MAX_VALUES))
        if not calls:
            return
    # One part may still undo another: the namespace of a caller changes its names of a host.
    all_conditions = [*list_conditions(first), *list_conditions(second)]
    yield from (call for call in calls if _all_hold(all_conditions, call))


@functools.lru_cache(maxsize=1024)
def _group_by_part(match: Match) -> dict[str, list[Condition]]:
    """Return the conditions of a match by the part of the request that they constrain."""
    unconditional = Match(match.at)
    parts = {
        "gateway": replace(unconditional, gateways=match.gateways),
        "port": replace(unconditional, port=match.port),
        "source": replace(unconditional, source=match.source),
        "namespace": replace(unconditional, source_namespace=match.source_namespace),
        "scheme": replace(unconditional, scheme=match.scheme),
        "path": replace(unconditional, uri=match.uri, ignore_uri_case=match.ignore_uri_case),
        "method": replace(unconditional, method=match.method),
        "authority": replace(unconditional, authority=match.authority),
    }
    for name in dict.fromkeys(name for name, _ in (*match.headers, *match.without_headers)):
        parts[f"header {name}"] = replace(
            unconditional,
            headers=tuple(header for header in match.headers if header[0] == name),
            without_headers=tuple(header for header in match.without_headers if header[0] == name),
        )
    for name, value in match.query:
        parts[f"query {name}"] = replace(unconditional, query=((name, value),))
    return {
        name: conditions for name, part in parts.items() if (conditions := list_conditions(part))
    }


def _all_hold(conditions: Iterable[Condition], call: Call) -> bool:
    """Say whether all conditions hold for a call."""
    return all(condition.holds(call) for condition in conditions)


def _satisfy_part(conditions: list[Condition], call: Call) -> Iterator[Call]:
    """Yield changed calls for which all conditions on one part of a request hold."""
    calls_by_condition = [
        list(itertools.islice(condition.satisfying_calls(call), _MAX_VALUES))
        for condition in conditions
    ]
    for changed in (call, *itertools.chain(*calls_by_condition)):
        if _all_hold(conditions, changed):
            yield changed
    for first_calls, second_calls in itertools.permutations(
        (calls[:_MAX_COMBINED] for calls in calls_by_condition), 2
    ):
        pairs = itertools.product(first_calls, second_calls)
        yield from (
            changed
            for pair in pairs
            for changed in _combine_calls(*pair)
            if _all_hold(conditions, changed)
        )


def _combine_calls(first: Call, second: Call) -> Iterator[Call]:
    """Yield calls that combine both calls in the part in which they differ."""
    if first.path != second.path and is_sendable_path(path := first.path.rstrip("/") + second.path):
        yield replace(first, path=path)
    if first.source != second.source:
        yield replace(first, source=tuple(sorted({*first.source, *second.source})))
    for name, value, second_value in _list_differences(first.headers, second.headers):
        values = (f"{value}{separator}{second_value}" for separator in _SEPARATORS)
        yield from (
            first.with_header(name, joined)
            for joined in values
            if strings.is_sendable_value(joined)
        )
    for name, value, second_value in _list_differences(first.query, second.query):
        yield first.with_query(name, value + second_value)


def _list_differences(first: Pairs, second: Pairs) -> Iterator[tuple[str, str, str]]:
    """Yield (name, first value, second value) where the values of a name differ."""
    second_values = dict(second)
    for name, value in first:
        if name in second_values and second_values[name] != value:
            yield name, value, second_values[name]
