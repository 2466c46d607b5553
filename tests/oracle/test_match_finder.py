"""The finder of the first match gives what trying each match in order gives."""

from __future__ import annotations

import itertools
import random

import pytest

from meshproof.documents.manifest import At
from meshproof.oracle.conditions import Call
from meshproof.oracle.match_finder import MatchFinder, match_holds
from meshproof.rules.model import Match, Route, RouteTable, StringMatch

HERE = At("rules.yaml", 1)
KINDS = ("exact", "prefix", "regex", "present")
PATHS = ("/", "/a", "/a/b", "/A", "/ab", "")
VALUES = ("x", "xy", "", "X")


def _draw_string_match(generator: random.Random, values: tuple[str, ...]) -> StringMatch:
    return StringMatch(generator.choice(KINDS), generator.choice(values), HERE)  # type: ignore[arg-type]


def _draw_match(generator: random.Random) -> Match:
    headers = tuple(
        (name, _draw_string_match(generator, VALUES))
        for name in ("one", "two")
        if generator.random() < 0.3
    )
    uri = _draw_string_match(generator, PATHS) if generator.random() < 0.7 else None
    return Match(HERE, uri=uri, ignore_uri_case=generator.random() < 0.3, headers=headers)


def _find_by_trying(table: RouteTable, call: Call) -> tuple[int | None, Match | None]:
    for index, route in enumerate(table.routes):
        for match in route.matches or (None,):
            if match is None or match_holds(match, call):
                return index, match
    return None, None


@pytest.mark.parametrize("seed", range(40))
def test_it_finds_what_trying_each_match_finds(seed: int) -> None:
    generator = random.Random(seed)
    routes = tuple(
        Route(tuple(_draw_match(generator) for _ in range(generator.randint(1, 3))), (), HERE)
        for _ in range(8)
    )
    some_routes = (*routes, Route((), (), HERE))[: generator.randint(5, 9)]
    table = RouteTable(("shop",), some_routes, None, HERE)
    finder = MatchFinder(table)
    headers = [(), *(((name, value),) for name in ("one", "two") for value in VALUES)]
    headers.append((("one", "x"), ("two", "xy")))
    for path, pairs in itertools.product(PATHS[:-1], headers):
        call = Call("shop", path=path, headers=pairs)
        index, match = finder.find(call)
        expected_index, expected_match = _find_by_trying(table, call)
        assert index == expected_index
        assert match is expected_match
