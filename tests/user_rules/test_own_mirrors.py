"""Each mirrored case counts the copies of its own requests, whatever else is under way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("mirrors.yaml")
command = partial(build_command, RULES, options=())
pytestmark = pytest.mark.local
Run = Callable[..., Any]

FIRST = "shop: path /first, mirrored to audit -> any version after 1 s"
SECOND = "shop: path /second, mirrored to audit -> any version after 1 s"
LONG = "shop: path /long, answered too late -> 504 after 7 s"


def test_copies_of_requests_that_are_sent_ahead_are_each_case_s_own(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    assert {FIRST, SECOND, LONG} <= set(ended.results)


@pytest.mark.parametrize("missing", [FIRST, SECOND])
def test_a_mirror_that_is_missing_and_one_that_copies_twice_fail(
    meshproof: Run, missing: str
) -> None:
    twice = SECOND if missing == FIRST else FIRST
    name = "mirrors, first" if missing == FIRST else "mirrors, second"
    expected = {
        missing: "0 of 1 requests were copied\nexpected: one copy\nobserved: not copied",
        twice: "0 of 1 requests were copied\nexpected: one copy\nobserved: copied 2 times",
    }
    assert meshproof(*command(name)).require_failed(expected)
