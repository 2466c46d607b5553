"""Requests that two matches take: what shows that the first route decides, and not a later one.

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

#: So many cases of a route are about overlaps alone.
MAX_CASES = 100
#: So many pairs of a match and a later route are looked at for them.
MAX_PAIRS = 5000
#: So many values are tried for each condition, and so many calls kept.
_MAX_VALUES = 6
#: So many of the values of each of two conditions are put together.
_MAX_COMBINED = 2
#: What stands between two values in one header: of a cookie, of a list, of nothing.
_SEPARATORS = ("; ", ", ", "")


def pair_with_later_routes(table: RouteTable) -> Iterator[tuple[int, Match, int]]:
    """Yield each match with the index of its route and of a later route, neighbours first."""
    count = len(table.routes)
    for distance in range(1, count):
        for index in range(count - distance):
            for match in table.routes[index].matches:
                yield index, match, index + distance


def find_common_calls(one: Match, two: Match, place: Call) -> Iterator[Call]:
    """Yield calls at a place that satisfy both matches; none where none is found.

    The conditions of one part of a request (its path, one header) are looked at by themselves.
    """
    found = [place]
    first, second = _conditions_by_part(one), _conditions_by_part(two)
    for part in dict.fromkeys((*first, *second)):
        wanted = [*first.get(part, ()), *second.get(part, ())]
        ways = (
            way
            for call in found
            for way in itertools.islice(_satisfy_part(wanted, call), _MAX_VALUES)
        )
        found = list(itertools.islice(dict.fromkeys(ways), _MAX_VALUES))
        if not found:
            return
    # One part may still undo another: the namespace of a caller changes its names of a host.
    every = [*list_conditions(one), *list_conditions(two)]
    yield from (call for call in found if _all_hold(every, call))


@functools.lru_cache(maxsize=1024)
def _conditions_by_part(match: Match) -> dict[str, list[Condition]]:
    """Return the conditions of a match by the part of the request that they are about."""
    plain = Match(match.at)
    parts = {
        "gateway": replace(plain, gateways=match.gateways),
        "port": replace(plain, port=match.port),
        "source": replace(plain, source=match.source),
        "namespace": replace(plain, source_namespace=match.source_namespace),
        "scheme": replace(plain, scheme=match.scheme),
        "path": replace(plain, uri=match.uri, ignore_uri_case=match.ignore_uri_case),
        "method": replace(plain, method=match.method),
        "authority": replace(plain, authority=match.authority),
    }
    for name in dict.fromkeys(name for name, _ in (*match.headers, *match.without_headers)):
        parts[f"header {name}"] = replace(
            plain,
            headers=tuple(one for one in match.headers if one[0] == name),
            without_headers=tuple(one for one in match.without_headers if one[0] == name),
        )
    for name, value in match.query:
        parts[f"query {name}"] = replace(plain, query=((name, value),))
    return {name: found for name, part in parts.items() if (found := list_conditions(part))}


def _all_hold(wanted: Iterable[Condition], call: Call) -> bool:
    return all(condition.holds(call) for condition in wanted)


def _satisfy_part(wanted: list[Condition], call: Call) -> Iterator[Call]:
    """Yield calls changed in one part so that all the conditions on it hold."""
    each = [list(itertools.islice(one.satisfying_calls(call), _MAX_VALUES)) for one in wanted]
    for way in (call, *itertools.chain(*each)):
        if _all_hold(wanted, way):
            yield way
    for some, others in itertools.permutations((one[:_MAX_COMBINED] for one in each), 2):
        pairs = itertools.product(some, others)
        yield from (
            way for pair in pairs for way in _combine_calls(*pair) if _all_hold(wanted, way)
        )


def _combine_calls(one: Call, two: Call) -> Iterator[Call]:
    """Yield calls that have what both have in the part in which they differ."""
    if one.path != two.path and is_sendable_path(path := one.path.rstrip("/") + two.path):
        yield replace(one, path=path)
    if one.source != two.source:
        yield replace(one, source=tuple(sorted({*one.source, *two.source})))
    for name, value, other in _differing_values(one.headers, two.headers):
        values = (f"{value}{between}{other}" for between in _SEPARATORS)
        yield from (
            one.with_header(name, each) for each in values if strings.is_sendable_value(each)
        )
    for name, value, other in _differing_values(one.query, two.query):
        yield one.with_query(name, value + other)


def _differing_values(one: Pairs, two: Pairs) -> Iterator[tuple[str, str, str]]:
    others = dict(two)
    for name, value in one:
        if name in others and others[name] != value:
            yield name, value, others[name]
