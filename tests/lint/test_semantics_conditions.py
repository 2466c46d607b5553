"""The comparison of conditions never says too much: tried on every value over a small alphabet."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

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

VALUES = ["".join(each) for n in range(5) for each in itertools.product("/ab", repeat=n)]
VALUES += ["/A", "/AB", "/aB/b", "A", "B/"]

texts = st.sampled_from(["", "/", "/a", "/a/", "/ab", "/A", "a", "ab", "b", "/a/b"])
patterns = st.lists(
    st.sampled_from(
        ["/", "a", "b", ".", ".*", ".+", "a+", "b?", "[ab]", "(a|b)", "(.*)", "(?:.+)", "\\.", "|"]
    ),
    min_size=1,
    max_size=4,
).map("".join)
anchored = st.tuples(st.sampled_from(["", "^"]), patterns, st.sampled_from(["", "$"])).map("".join)


def condition(part: str) -> st.SearchStrategy[Condition]:
    sorts: list[MatchType] = ["exact", "prefix", "path"]
    plain = st.builds(
        Condition,
        part=st.just(part),
        match_type=st.sampled_from(sorts),
        text=texts,
        negated=st.booleans(),
        ignores_case=st.booleans(),
    )
    regex = st.builds(
        Condition,
        part=st.just(part),
        match_type=st.just("regex"),
        text=anchored,
        negated=st.booleans(),
    )
    there = st.builds(
        Condition, part=st.just(part), match_type=st.just("present"), negated=st.booleans()
    )
    return st.one_of(plain, regex, there)


def holds(one: Condition, value: str | None) -> bool:
    """Say whether a request with this value of the part (None: without it) satisfies it."""
    return (value is not None and accepts_value(one, value)) != one.negated


@settings(max_examples=500, deadline=None)
@given(condition("header x"), condition("header x"))
def test_implies_and_apart_are_never_wrong(one: Condition, other: Condition) -> None:
    asked = [None, *VALUES]
    if implies(one, other):
        assert [value for value in asked if holds(one, value) and not holds(other, value)] == []
    if are_exclusive(one, other):
        assert [value for value in asked if holds(one, value) and holds(other, value)] == []


@settings(max_examples=500, deadline=None)
@given(condition("uri"))
def test_the_plainest_form_takes_the_same_paths(one: Condition) -> None:
    paths = [value for value in VALUES if value.startswith("/")]
    plain = simplify_condition(one)
    if one.match_type == "path":
        return  # its text is kept without the slash at its end
    if plain is None:
        assert one.negated or all(accepts_value(one, path) for path in paths)
    else:
        assert [
            path for path in paths if accepts_value(plain, path) != accepts_value(one, path)
        ] == []


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(condition("header x"), condition("header y")), max_size=3),
    st.lists(st.one_of(condition("header x"), condition("header y")), max_size=3),
)
def test_covers_and_impossible_are_never_wrong(
    first: list[Condition], second: list[Condition]
) -> None:
    outer, inner = (Match(tuple(each), At("a", 1)) for each in (first, second))
    values: list[str | None] = [None, "", "/", "/a", "/ab", "/A", "a", "/a/b"]
    requests = [{"header x": x, "header y": y} for x in values for y in values]

    def taken(match: Match, request: dict[str, str | None]) -> bool:
        return all(holds(one, request[one.part]) for one in match.conditions)

    if covers(outer, inner):
        assert [one for one in requests if taken(inner, one) and not taken(outer, one)] == []
    if find_contradiction(inner):
        assert [one for one in requests if taken(inner, one)] == []


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.one_of(condition("header x"), condition("uri")), max_size=2), max_size=6)
)
def test_the_index_finds_every_match_that_covers(matches: list[list[Condition]]) -> None:
    (found,) = parse("kind: A\nmetadata: {name: a}\n", "a.yaml")
    route = Route(found, found.root, "a", ())
    others = [Match(tuple(one), At("a", 1)) for one in matches]
    wanted = Match(tuple(matches[0]) if matches else (), At("a", 1))
    index = MatchIndex()
    for one in others:
        index.add(route, one)
    expected = [id(one) for one in others if covers(one, wanted)]
    assert [id(one) for _, one in index.find_covering(wanted)] == expected


@settings(max_examples=500, deadline=None)
@given(anchored)
def test_the_form_of_a_regex_is_read_rightly(pattern: str) -> None:
    if regexes.find_error(pattern):
        return
    taken = [value for value in VALUES if regexes.matches_whole(pattern, value)]
    value, start = regexes.find_only_value(pattern), regexes.find_equal_prefix(pattern)
    if value is not None:
        assert set(taken) <= {value}
    if start is not None:
        assert taken == [one for one in VALUES if one.startswith(start)]
    assert all(one.startswith(regexes.find_leading_text(pattern)) for one in taken)
    if regexes.is_open_ended(pattern):
        assert all(regexes.matches_whole(pattern, f"{one}/ab") for one in taken)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab/\\.*+?()[]{}|^$1,:PQ", max_size=12))
def test_no_pattern_brings_the_reader_of_patterns_down(pattern: str) -> None:
    regexes.split_atoms(pattern)
    regexes.find_leading_text(pattern)
    regexes.escape_host_dots(pattern)
    regexes.find_error(pattern)
