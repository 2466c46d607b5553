"""A delay of some answers is judged, long times are waited for at once: proven, and seen wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("times.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
Run = Callable[..., Any]

SOMETIMES = "shop: path /sometimes, 30 % after 0.5 s -> v1 80 %, 503 (aborted) 20 %"
SPLIT = "shop: path /split -> v1 80 %, v2 20 % after 0.5 s"
LONG = "shop: path /long, answered too late -> 504 after 15 s"
ALSO = "shop: path /also, answered too late -> 504 after 15 s"
#: Fault -> every case that fails, with what its message says.
FAULTS = {
    "times, first": {
        SOMETIMES: "expected: after 0.5 s 30 %, at once 70 %",
        LONG: "after 14 s, not 15 s",
    },
    "times, second": {
        SOMETIMES: "after 0.5 s never answered in ",
        SPLIT: "expected: shop v1 80 %, shop v2 20 %",
        LONG: "shop.default.v1 answered\nexpected: HTTP 504 answers after 15 s",
    },
}


def test_times_are_proven_and_long_ones_together(meshproof: Run) -> None:
    began = time.monotonic()
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    assert {SOMETIMES, SPLIT, LONG, ALSO} <= set(ended.results)
    spent = sum(one.seconds for one in ended.results.values())
    assert spent < 28, "two answers of 15 s, one after the other, would take 30 s"
    assert time.monotonic() - began > 15


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_time_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    assert meshproof(*command(name)).require_failed(FAULTS[name])
