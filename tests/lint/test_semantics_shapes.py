"""No check trips over an odd value: rules of every dialect with parts replaced by anything."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.documents.manifest import parse
from meshproof.lint import lint, load_checks, read_page

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        "a",
        "/a.b/c",
        "*",
        ".",
        "mesh",
        "(a",
        "5s",
        0,
        -1,
        100,
        1.5,
        True,
        [],
        {},
        [[]],
        [None],
        [1],
        {"a": None},
        {"name": 1},
        [{"name": "a"}],
        {"exact": 1, "regex": []},
        [{"destination": "a"}],
        {"number": "http"},
    ]
)


def _examples() -> list[Any]:
    """Return the objects of every bad example, as plain values."""
    return [
        document.root.to_python()
        for check in load_checks()
        if check.code != "MP0100"
        for document in parse(read_page(check.code).bad, "example.yaml")
    ]


EXAMPLES = _examples()


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    if isinstance(value, dict):
        for key, one in value.items():
            found += _places(one, (*way, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            found += _places(one, (*way, index))
    return found


def _with(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    changed = copy.deepcopy(value)
    at = changed
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = odd
    return changed


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_odd_values_are_no_traceback(data: st.DataObject) -> None:
    documents = data.draw(st.lists(st.sampled_from(EXAMPLES), min_size=1, max_size=3))
    changed = []
    for one in documents:
        for _ in range(data.draw(st.integers(1, 3))):
            way = data.draw(st.sampled_from(_places(one)))
            one = _with(one, way, data.draw(ODD))
            if not isinstance(one, dict) or not _places(one):
                break
        changed.append(one)
    text = "\n---\n".join(json.dumps(one) for one in changed)
    for finding in lint(parse(text, "rules.yaml")):
        assert finding.at.line >= 1
        assert finding.message


@pytest.mark.parametrize("odd", [None, [], {}])
def test_every_place_of_every_example_may_be_odd(odd: Any) -> None:
    for one in EXAMPLES:
        for way in _places(one):
            lint(parse(json.dumps(_with(one, way, odd)), "rules.yaml"))
