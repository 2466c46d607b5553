"""Whatever stands where something else should: it is refused with its place, or it is read."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.base.errors import BadRules
from meshproof.oracle.derive import derive
from tests import TESTS
from tests.rules.gateway_api_texts import read

TEXT = (TESTS / "user_rules" / "gateway_api.yaml").read_text()
OBJECTS: list[Any] = list(yaml.safe_load_all(TEXT))
ODD = st.sampled_from(
    [None, "", "x", "*", "/", "/a/", "/(", -1, 0, 70_000, 1.5, True, [], {}, ["x"], {"x": "y"}]
)


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value of an object."""
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    deeper = [deeper_path for key, part in inside for deeper_path in list_paths(part, (*path, key))]
    return [path, *deeper] if path else deeper


WAYS = list_paths(OBJECTS)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WAYS), ODD), min_size=1, max_size=3), st.booleans())
def test_odd_values(changes: list[tuple[tuple[Any, ...], Any]], away: bool) -> None:
    objects = copy.deepcopy(OBJECTS)
    for (*path, last), value in changes:
        parent: Any = objects
        try:
            for key in path:
                parent = parent[key]
            if away and isinstance(parent, dict):
                del parent[last]
            else:
                parent[last] = value
        except (LookupError, TypeError):  # an earlier change has taken it away
            continue
    text = "\n---\n".join(json.dumps(document) for document in objects)
    message = ""
    try:
        derive(read(text))
    except BadRules as error:
        message = str(error)
    assert not message or message.startswith(("g.yaml:", "no rules", "no request"))


def test_the_objects_are_read_as_they_are() -> None:
    rules = read("\n---\n".join(json.dumps(document) for document in OBJECTS))
    assert len(WAYS) > 200
    assert len(rules.tables) == 4
