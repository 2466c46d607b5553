"""Routes of delegates and of named callers: proven, and seen wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.place import Place
from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("delegates.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
Run = Callable[..., Any]

CART = "shop: path /team/cart and x-team a -> cart"
CART_MISSED = "shop: no x-team -> any version"
STOCK = "shop: path /team and x-team a -> stock"
CALLED = "called: from app=page and from namespace web -> v2"
OTHER_CALLER = "called: from another workload -> v1"
OTHER_NAMESPACE = "called: from namespace default -> v1"
#: Fault -> the cases that it fails.
FAULTS: dict[str, Callable[[str], bool]] = {
    "header dropped": lambda case: "x-team" in case and not case.endswith(("cart", "stock")),
    "prefix as exact": lambda case: (
        case.endswith("(and more) -> cart") or (case.endswith("-> stock") and case != STOCK)
    ),
    "callers ignored": lambda case: case == OTHER_CALLER,
}


def test_the_merged_routes_and_the_callers_are_proven(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    named = {CART, CART_MISSED, STOCK, CALLED, OTHER_CALLER, OTHER_NAMESPACE}
    assert named <= set(ended.results), sorted(ended.results)
    assert ended.results[CART].rule == Place(str(RULES), 27)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    ended = meshproof(*command(name))
    assert ended.code == 1, ended.output
    expected = [case for case in ended.results if FAULTS[name](case)]
    assert expected
    assert sorted(ended.list_failed()) == sorted(expected)
