"""Overlapping routes that are served in another order fail the requests that both match, only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("overlaps.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
BOTH = "shop: cookie user=burr; group=beta, first match -> v3"
BURR_HALF = "shop: cookie user=burr and path /half, first match -> v3"
BETA_HALF = "shop: cookie group=beta and path /half, first match -> v2"
#: Fault -> the cases that it fails, and what is seen instead.
FAULTS = {
    "routes 1 and 2 swapped": ([BOTH], "shop.default.v2"),
    "routes 2 and 3 swapped": ([BETA_HALF], "shop.default.v1"),
}


def test_in_their_order_every_case_passes(meshproof: Callable[..., Any]) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    assert {BOTH, BURR_HALF, BETA_HALF} <= set(ended.results)


@pytest.mark.parametrize("name", FAULTS)
def test_swapped_the_requests_fail_that_both_match(
    meshproof: Callable[..., Any], name: str
) -> None:
    fails, seen = FAULTS[name]
    ended = meshproof(*command(name))
    assert ended.code == 1, ended.output
    assert ended.list_failed() == fails
    result = ended.results[fails[0]]
    assert result.rule
    assert result.rule.file == str(RULES)
    assert "(the route at " in result.message
    assert seen in result.message or "50 %" in result.message, result.message
