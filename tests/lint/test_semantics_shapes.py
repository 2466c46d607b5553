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
        if check.code not in ("MP0100", "MP0214")
        for document in parse(read_page(check.code).bad, "example.yaml")
    ]


EXAMPLES = _examples()


def _list_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths (keys and indexes) of all values below this one, and its own."""
    paths = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            paths += _list_paths(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            paths += _list_paths(child, (*path, index))
    return paths


def _replace_at(value: Any, path: tuple[Any, ...], replacement: Any) -> Any:
    """Return a copy of a value that has another value at a path."""
    if not path:
        return replacement
    changed = copy.copy(value)
    changed[path[0]] = _replace_at(value[path[0]], path[1:], replacement)
    return changed


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_odd_values_are_no_traceback(data: st.DataObject) -> None:
    changed = []
    for example in data.draw(st.lists(st.sampled_from(EXAMPLES), min_size=1, max_size=3)):
        document = example
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(_list_paths(document)))
            document = _replace_at(document, path, data.draw(ODD))
            if not isinstance(document, dict) or not _list_paths(document):
                break
        changed.append(document)
    text = "\n---\n".join(json.dumps(document) for document in changed)
    for finding in lint(parse(text, "rules.yaml")):
        assert finding.at.line >= 1
        assert finding.message


@pytest.mark.parametrize("odd", [None, [], {}])
def test_every_value_of_every_example_may_be_odd(odd: Any) -> None:
    texts = {
        json.dumps(_replace_at(example, path, odd))
        for example in EXAMPLES
        for path in _list_paths(example)
    }
    for text in texts:  # pages that share an object give the same text
        lint(parse(text, "rules.yaml"))
