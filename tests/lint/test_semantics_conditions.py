"""The comparison of conditions never says too much: tried on every value over a small alphabet.

Conditions without a regex are tried exhaustively, also in pairs; those with one are drawn anew in
each run (a failure shows what was drawn).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import cache

import pytest

from meshproof.documents.manifest import At, parse
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import (
    Condition,
    MatchType,
    accepts_value,
    are_exclusive,
    implies,
    simplify_condition,
)
from meshproof.lint.model.match_index import MatchIndex
from meshproof.lint.model.route import Match, Route, covers, find_contradiction
from meshproof.rules.written import WrittenActions

VALUES = ["".join(letters) for n in range(5) for letters in itertools.product("/ab", repeat=n)]
VALUES += ["/A", "/AB", "/aB/b", "A", "B/"]

TEXTS = ["", "/", "/a", "/a/", "/ab", "/A", "a", "ab", "b", "/a/b"]
PIECES = ["/", "a", "b", ".", ".*", ".+", "a+", "b?", "[ab]", "(a|b)", "(.*)", "(?:.+)", "\\.", "|"]
ANCHORS = list(itertools.product(["", "^"], ["", "$"]))
#: Every regex of one or two pieces.
SHORT_REGEXES = [
    f"{start}{''.join(pieces)}{end}"
    for count in (1, 2)
    for pieces in itertools.product(PIECES, repeat=count)
    for start, end in ANCHORS
]


@pytest.fixture
def rng() -> random.Random:
    return random.Random()


def list_plain_conditions(part: str) -> Iterator[Condition]:
    """Yield every condition on a part that has no regex."""
    match_types: list[MatchType] = ["exact", "prefix", "path"]
    for negated in (False, True):
        yield Condition(part, "present", negated=negated)
        for match_type, text, ignores_case in itertools.product(match_types, TEXTS, (False, True)):
            yield Condition(part, match_type, text, negated=negated, ignores_case=ignores_case)


def draw_regex(rng: random.Random) -> str:
    start, end = rng.choice(ANCHORS)
    return f"{start}{''.join(rng.choices(PIECES, k=rng.randint(1, 4)))}{end}"


def draw_condition(rng: random.Random, *parts: str) -> Condition:
    part = rng.choice(parts)
    if rng.random() < 0.5:
        return Condition(part, "regex", draw_regex(rng), negated=rng.random() < 0.5)
    return rng.choice(PLAIN[part])


def draw_conditions(rng: random.Random, most: int, *parts: str) -> tuple[Condition, ...]:
    return tuple(draw_condition(rng, *parts) for _ in range(rng.randint(0, most)))


PLAIN = {part: list(list_plain_conditions(part)) for part in ("header x", "header y", "uri")}


def holds(condition: Condition, value: str | None) -> bool:
    """Say whether a request with this value of the part (None: without it) satisfies it."""
    return (value is not None and accepts_value(condition, value)) != condition.negated


@cache
def accepted_values(condition: Condition) -> frozenset[str | None]:
    return frozenset(value for value in (None, *VALUES) if holds(condition, value))


def check_pair(first: Condition, second: Condition) -> None:
    if implies(first, second):
        assert accepted_values(first) <= accepted_values(second), (first, second)
    if are_exclusive(first, second):
        assert accepted_values(first).isdisjoint(accepted_values(second)), (first, second)


def test_implies_and_are_exclusive_are_never_wrong_about_plain_conditions() -> None:
    for first, second in itertools.product(PLAIN["header x"], repeat=2):
        check_pair(first, second)


def test_implies_and_are_exclusive_are_never_wrong_about_regexes(rng: random.Random) -> None:
    for _ in range(3000):
        check_pair(draw_condition(rng, "header x"), draw_condition(rng, "header x"))


def check_simplified(condition: Condition) -> None:
    paths = [value for value in VALUES if value.startswith("/")]
    simplified = simplify_condition(condition)
    if condition.match_type == "path":
        return  # its text is kept without the slash at its end
    if simplified is None:
        assert condition.negated or all(accepts_value(condition, path) for path in paths), condition
    else:
        for path in paths:
            assert accepts_value(simplified, path) == accepts_value(condition, path), condition


def test_the_plainest_form_takes_the_same_paths(rng: random.Random) -> None:
    for condition in PLAIN["uri"]:
        check_simplified(condition)
    for regex in (*SHORT_REGEXES, *(draw_regex(rng) for _ in range(500))):
        check_simplified(Condition("uri", "regex", regex, negated=rng.random() < 0.5))


def test_covers_and_find_contradiction_are_never_wrong(rng: random.Random) -> None:
    values: list[str | None] = [None, "", "/", "/a", "/ab", "/A", "a", "/a/b"]
    requests = [{"header x": x, "header y": y} for x in values for y in values]

    def list_accepted(match: Match) -> list[dict[str, str | None]]:
        return [
            request
            for request in requests
            if all(holds(condition, request[condition.part]) for condition in match.conditions)
        ]

    for _ in range(2000):
        outer, inner = (
            Match(draw_conditions(rng, 3, "header x", "header y"), At("a", 1)) for _ in range(2)
        )
        if covers(outer, inner):
            accepted = list_accepted(outer)
            assert all(request in accepted for request in list_accepted(inner)), (outer, inner)
        if find_contradiction(inner):
            assert list_accepted(inner) == [], inner


def test_the_index_finds_every_match_that_covers(rng: random.Random) -> None:
    (document,) = parse("kind: A\nmetadata: {name: a}\n", "a.yaml")
    actions = WrittenActions()
    route = Route(document, document.root, "a", (), False, actions)
    for _ in range(1000):
        matches = [
            Match(draw_conditions(rng, 2, "header x", "uri"), At("a", 1))
            for _ in range(rng.randint(0, 6))
        ]
        inner = Match(matches[0].conditions if matches else (), At("a", 1))
        index = MatchIndex()
        for match in matches:
            index.add(route, match)
        expected = [id(match) for match in matches if covers(match, inner)]
        assert [id(match) for _, match in index.find_covering(inner)] == expected, matches


def test_the_form_of_a_regex_is_read_rightly(rng: random.Random) -> None:
    for regex in {*SHORT_REGEXES, *(draw_regex(rng) for _ in range(500))}:
        check_form(regex)


def check_form(regex: str) -> None:
    if regexes.find_error(regex):
        return
    accepted = [value for value in VALUES if regexes.matches_whole(regex, value)]
    only_value, prefix = regexes.find_only_value(regex), regexes.find_equal_prefix(regex)
    if only_value is not None:
        assert set(accepted) <= {only_value}, regex
    if prefix is not None:
        assert accepted == [value for value in VALUES if value.startswith(prefix)], regex
    leading_text = regexes.find_leading_text(regex)
    assert all(value.startswith(leading_text) for value in accepted), regex
    if regexes.is_open_ended(regex):
        assert all(regexes.matches_whole(regex, f"{value}/ab") for value in accepted), regex


def test_no_pattern_brings_the_reader_of_patterns_down(rng: random.Random) -> None:
    for _ in range(3000):
        pattern = "".join(rng.choices("ab/\\.*+?()[]{}|^$1,:PQ", k=rng.randint(0, 12)))
        try:
            regexes.split_atoms(pattern)
            regexes.find_leading_text(pattern)
            regexes.escape_host_dots(pattern)
            regexes.find_error(pattern)
        except Exception as error:
            raise AssertionError(pattern) from error
