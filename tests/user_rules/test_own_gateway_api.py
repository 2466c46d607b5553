"""Gateway API on real Envoys: every case of gateway_api.yaml passes, and is seen wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("gateway_api.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
Run = Callable[..., Any]


@dataclass(frozen=True)
class Shown:
    """What must come of a fault: which cases fail (a regex), and what is said of some."""

    fails: str
    said: dict[str, str]


CANCEL = r"grpc.shop.example: path /shop.Orders/Cancel and x-role owner -> cancel"
MIRRORED = "www.shop.example: path /whole, mirrored to audit -> api as /all"
LATE = "www.shop.example: path /slow, answered too late -> 504 after 0.5 s"
FAULTS = {
    "order of the file": Shown(
        rf"{CANCEL}|www.shop.example: (?!.*-> (shop|503)( \(\d+\))?$"
        r"|.* failing once with (?P<passed_on>.+) -> (?P=passed_on)$).*",
        {
            "www.shop.example: path /items/single -> single": "shop.default.other answered\n"
            "expected: single answers",
            "www.shop.example: path /items and x-user burr -> items-new": "expected: items-new",
        },
    ),
    "elements as letters": Shown(
        r"(grpc|stock|www).*: path /[a-zO./]*(?<!/sale)(?<!/split)x \(one character more\) -> .*",
        {
            "stock: path /freshx (one character more) -> 404": "expected: HTTP 404 answers",
            "www.shop.example: path /itemsx (one character more) -> shop": "expected: shop answers",
        },
    ),
    "prefix moved by letters": Shown(
        r"www.shop.example: path (/plain/|/plain/x)( \(.*\)|, with a query)? -> .*",
        {
            "www.shop.example: path /plain/x (and what is below it) -> api as /x": "path arrived "
            "as "
            "//x, not /x",
        },
    ),
    "header dropped": Shown(
        r"grpc.shop.example: (no )?x-role .*|www.shop.example: .* -> items",
        {
            "www.shop.example: no x-user -> items": "items-new.default.other answered\nexpected: "
            "items answers",
            "grpc.shop.example: no x-role -> orders": "cancel.default.other answered",
        },
    ),
    "gateway api, first": Shown(
        r"www.shop.example: (path (/split|/plain.*|/old.*|/docs.*|/nowhere|/nowhere/x?|/api\b.*) .*"
        r"-> (items 25 %|api as|30|500).*|path /whole, mirrored.*|path /again, failing 3.*"
        r"|path /again, failing once with gRPC.* -> api|path /slow, answered too late.*)",
        {
            "www.shop.example: path /split -> items 25 %, items-new 75 %": "25 % was declared",
            "www.shop.example: path /nowhere -> 500": "HTTP 503 answered\nexpected: HTTP 500",
            MIRRORED: "0 of 3 requests were copied",
            "www.shop.example: path /again, failing 3 times with 503 -> api": "HTTP 503",
            LATE: "api.default.other answered\nexpected: HTTP 504",
            "www.shop.example: path /old -> 302 to http://www.shop.example:8080/new": "to "
            "http://www.shop.example/new, not http://www.shop.example:8080/new",
            "www.shop.example: path /api -> api as /v2 at api.example": "x-back is missing",
        },
    ),
    "gateway api, second": Shown(
        r"www.shop.example: (path /split\b(?!/x).*|path /whole\b.*-> api.*|path /again, failing 3.*"
        r"|path /old\b.* 302 .*|path /api\b.*)",
        {
            "www.shop.example: path /split, x-new already there -> items 25 %, items-new 75 %": (
                "x-new arrived as 'meshproof-other', not 'yes'"
            ),
            "www.shop.example: path /whole -> api as /all": "path arrived as /whole, not /all",
            "www.shop.example: path /api/x (and what is below it) -> api as /v2/x at api.example": (
                "path arrived as /api/x, not /v2/x, authority arrived as www.shop.example, not "
                "api.example"
            ),
        },
    ),
}


def test_every_case_passes_without_a_fault(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 3, ended.output  # the route 'regex' is unreached
    assert {outcome.outcome for outcome in ended.results.values()} == {"passed"}
    assert {
        "*.shop.example: any request -> shop",
        "grpc.shop.example: path /shop.Orders/x (and what is below it) -> orders",
        "stock: path /fresh/x (and what is below it) -> stock-fresh",
        "www.shop.example: path /docs/x (and what is below it) -> 301 to "
        "https://docs.example:8443/index",
        "www.shop.example: path /plain -> api as /",
        "www.shop.example: path /itemsx (one character more) -> shop",
    } <= set(ended.results)
    files = {result.rule.file for result in ended.results.values() if result.rule}
    assert files == {str(RULES)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    shown = FAULTS[name]
    ended = meshproof(*command(name))
    assert ended.code == 1, ended.output
    assert ended.list_failed()
    assert ended.list_failed() == [
        case for case in ended.results if re.fullmatch(shown.fails, case)
    ]
    ended.require_words(shown.said)


def test_a_regex_behind_a_prefix_of_everything_is_not_reached(meshproof: Run) -> None:
    """Istiod tries a regex after every prefix, also after `/` (istio issue 60695)."""
    ended = meshproof("plan", str(RULES), "--fail-under", "100")
    assert ended.code == 1, ended.output
    assert (
        f"{RULES}:77: route 16 'regex' of shop + single is unreached: the route at" in ended.output
    )


def test_lint_says_what_is_odd_about_these_rules_and_nothing_else(meshproof: Run) -> None:
    """A rule without a weight above 0 is there on purpose, and a Service without a last route."""
    ended = meshproof("lint", str(RULES))
    assert re.findall(r"(?:error|warning|info) (MP\d+)", ended.output) == ["MP0113", "MP0303"]
