"""A fault in what is served makes the cases fail that it belongs to, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.place import Place
from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("shop.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
Run = Callable[..., Any]


def always_v3(case: str) -> bool:
    """Say whether a case fails when the route `burr` takes all that `api` leaves."""
    return not case.endswith("-> v3") and "path /API" not in case and "path /api" not in case


@dataclass(frozen=True)
class Shown:
    """What must come of a fault: which cases fail; of one its line and what is said of it."""

    fails: Callable[[str], object]
    case: str
    line: int
    expected: str
    observed: str
    curl: str


SPLIT = "shop: path /half -> v1 50 %, v2 50 %"
FAULTS = {
    "prefix as exact": Shown(
        lambda case: "/APIx" in case,
        "shop: path /APIx (and more) -> v2",
        30,
        "shop v2 answers, each of 20 requests",
        'HTTP 200, "shop.default.v1"',
        "/APIx",
    ),
    "case not ignored": Shown(
        lambda case: "path /API" in case,
        "shop: path /API -> v2",
        29,
        "shop v2 answers, each of 20 requests",
        'HTTP 200, "shop.default.v1"',
        "/API",
    ),
    "header dropped": Shown(
        always_v3,
        "shop: no x-user -> v1",
        40,
        "shop v1 answers, each of 20 requests",
        'HTTP 200, "shop.default.v3"',
        "/",
    ),
    "query ignored": Shown(
        always_v3,
        "shop: query debug=o (one character short) -> v1",
        43,
        "shop v1 answers, each of 20 requests",
        'HTTP 200, "shop.default.v3"',
        "/?debug=o",
    ),
    "regex open at its end": Shown(
        lambda case: any(f"path {path} " in case for path in ("/0x", "/0/x", "/0.x")),
        "shop: path /0x (one character more) -> v1",
        51,
        "shop v1 answers, each of 20 requests",
        'HTTP 200, "shop.default.v2"',
        "/0x",
    ),
    "first route last": Shown(
        lambda case: not case.endswith("-> v1"),
        "shop: query debug=on -> v3",
        41,
        "shop v3 answers, each of 3 requests",
        'HTTP 200, "shop.default.v1"',
        "/?debug=on",
    ),
    "60/40": Shown(
        lambda case: case == SPLIT,
        SPLIT,
        58,
        "shop v1 50 %, shop v2 50 % (within 10 points)",
        "where 50 % was",
        "/half",
    ),
    "default to v3": Shown(
        lambda case: case.endswith("-> v1"),
        "shop: path /AP (one character short) -> v1",
        30,
        "shop v1 answers, each of 20 requests",
        'HTTP 200, "shop.default.v3"',
        "/AP",
    ),
}


def test_every_case_passes_without_a_fault_and_names_its_line(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"), "-v")
    assert ended.code == 0, ended.output
    assert len(ended.results) > 25
    for result in ended.results.values():
        assert result.rule
        assert result.rule.file == str(RULES), result
        assert result.served is not None
        assert (result.served.proxies, result.served.requests) == (2, 0)
    assert ended.output.count("  settled   2 proxies took version ") == 1
    lines = {result.rule.line for result in ended.results.values() if result.rule}
    assert lines >= {29, 38, 41, 43}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    shown = FAULTS[name]
    ended = meshproof(*command(name))
    assert ended.code == 1, ended.output
    assert ended.list_failed() == [case for case in ended.results if shown.fails(case)]
    result = ended.results[shown.case]
    assert result.rule == Place(str(RULES), shown.line)
    message = f"{result.message}\n"
    for part in (
        f", rule at {RULES}:{shown.line}\n",
        f"\nexpected: {shown.expected}\n",
        "\nsee it: curl -i -H 'Host: shop.default.svc.cluster.local' ",
    ):
        assert part in message, message
    assert shown.observed in message.partition("\nobserved: ")[2].partition("\n")[0], message
    curl = message.partition("see it: ")[2].partition("\n")[0]
    assert curl.rstrip("'").endswith(shown.curl), curl
    assert shown.case in ended.output
