"""Aliases stand for what they name, merge keys too, and cannot blow up the reader."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import Value, parse

TEN = ["x"] * 10


def bomb(levels: int) -> str:
    """Return ten values, then `levels` lists of ten aliases each of the one before."""
    lines = [f"a0: &a0 [{', '.join(TEN)}]"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


def test_an_alias_is_the_value_that_it_names_and_tells_its_place() -> None:
    (document,) = parse("a: &a {b: 1}\nc: *a\n", "f.yaml")
    assert document.root.to_python() == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.root.need("c").at.line == 1


def test_a_small_tower_of_aliases_is_read() -> None:
    (document,) = parse(bomb(3), "f.yaml")
    assert document.root.to_python()["a3"] == [[[TEN] * 10] * 10] * 10


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    with pytest.raises(BadRules, match=r"^f\.yaml:\d+:5: a\d\[\d\]: the aliases make more than"):
        parse(bomb(30), "f.yaml")


def test_whoever_walks_all_values_meets_a_bounded_number() -> None:
    def size(value: Value) -> int:
        inner = value.content
        below = list(inner.values()) if isinstance(inner, dict) else inner
        return 1 + (sum(map(size, below)) if isinstance(below, list) else 0)

    (document,) = parse(bomb(3), "f.yaml")
    assert 10_000 < size(document.root) < 100_000


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a {b: {c: [1, *a]}}"])
def test_an_alias_inside_of_what_it_names_is_refused(text: str) -> None:
    with pytest.raises(BadRules, match=r"^f\.yaml:1:\d: [abc.\[\]01]+: the alias contains itself"):
        parse(text, "f.yaml")


def test_a_merge_key_adds_the_keys_that_are_not_there() -> None:
    (document,) = parse("b: &b {x: 1, y: 2}\na:\n  y: 3\n  <<: *b\n", "f.yaml")
    merged = document.root.need("a")
    assert merged.to_python() == {"y": 3, "x": 1}
    assert merged.keys["x"].line == 1


def test_of_several_merged_mappings_the_first_counts() -> None:
    (document,) = parse("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n", "f.yaml")
    assert document.root.to_python()["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("merged", ["3", "[3]", "text"])
def test_only_mappings_are_merged(merged: str) -> None:
    with pytest.raises(BadRules, match=r"^f\.yaml:1:\d+: a\.<<(\[0\])?: expected a mapping, found"):
        parse(f"a: {{<<: {merged}}}", "f.yaml")


def test_quoted_it_is_a_key_like_any_other() -> None:
    assert parse("'<<': {x: 1}", "f.yaml")[0].root.to_python() == {"<<": {"x": 1}}
