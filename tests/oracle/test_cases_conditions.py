"""Every kind of condition gives a request that satisfies it and those that just miss it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Match = Callable[[str], list[str]]

TABLE = {
    "exact path": (
        "{uri: {exact: /login}}",
        [
            "path /login -> v3",
            "path /logi (one character short) -> v1",
            "path /loginx (one character more) -> v1",
            "path /LOGIN (in other case) -> v1",
            "path /x/login (with something before it) -> v1",
            "path /meshproof-other (something else) -> v1",
            "path /login/x (below it) -> v1",
            "any other request -> v1",
        ],
    ),
    "path prefix": (
        "{uri: {prefix: /api/}}",
        [
            "path /api/ -> v3",
            "path /api/x (and more) -> v3",
            "path /api (one character short) -> v1",
            "path /API/ (in other case) -> v1",
            "path /x/api/ (with something before it) -> v1",
            "path /meshproof-other (something else) -> v1",
            "any other request -> v1",
        ],
    ),
    "regex on the whole path": (
        r"{uri: {regex: '/v\d/.*'}}",
        [
            "path /v0/ -> v3",
            "path /v9/x (another that fits) -> v3",
            "path /v9/ (at its most) -> v3",
            "path /v0 (one character short) -> v1",
            "path /V0/ (in other case) -> v1",
            "path /x/v0/ (with something before it) -> v1",
            "path /meshproof-other (something else) -> v1",
            "path /va/ (a for 0) -> v1",
            "path /vA/ (A for 0) -> v1",
            "path /v-/ (- for 0) -> v1",
            "path /v_/ (_ for 0) -> v1",
            "path /v./ (. for 0) -> v1",
            "path /v00/ (one too many) -> v1",
            "path /v/ (one too few) -> v1",
            "any other request -> v1",
        ],
    ),
    "path in any case": (
        "{uri: {prefix: /api}, ignoreUriCase: true}",
        [
            "path /API -> v3",
            "path /APIx (and more) -> v3",
            "path /api (in other case) -> v3",
            "path /AP (one character short) -> v1",
            "path /x/API (with something before it) -> v1",
            "path /meshproof-other (something else) -> v1",
            "any other request -> v1",
        ],
    ),
    "method": (
        "{method: {exact: POST}}",
        [
            "method POST -> v3",
            *[
                f"method {method} -> v1"
                for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
            ],
        ],
    ),
    "methods by regex": (
        "{method: {regex: GET|HEAD}}",
        [
            "method GET -> v3",
            *[f"method {method} -> v1" for method in ("POST", "PUT", "DELETE", "PATCH")],
            "method HEAD -> v3",
            "method OPTIONS -> v1",
            "method TRACE -> v1",
        ],
    ),
    "authority": (
        "{authority: {exact: reviews}}",
        [
            "authority reviews -> v3",
            "authority reviews.default -> v1",
            "authority reviews.default.svc -> v1",
        ],
    ),
    "header": (
        "{headers: {x-user: {exact: burr}}}",
        [
            "x-user burr -> v3",
            "no x-user -> v1",
            "x-user bur (one character short) -> v1",
            "x-user burrx (one character more) -> v1",
            "x-user BURR (in other case) -> v1",
            "x-user xburr (with something before it) -> v1",
            "x-user meshproof-other (something else) -> v1",
        ],
    ),
    "header prefix": (
        "{headers: {x-user: {prefix: b}}}",
        [
            "x-user b -> v3",
            "no x-user -> v1",
            "x-user bx (and more) -> v3",
            "x-user B (in other case) -> v1",
            "x-user xb (with something before it) -> v1",
            "x-user meshproof-other (something else) -> v1",
        ],
    ),
    "header regex": (
        "{headers: {user-agent: {regex: '.*Firefox/[0-9]+.*'}}}",
        [
            "user-agent Firefox/1 -> v3",
            "no user-agent -> v1",
            "user-agent yFirefox/160 (another that fits) -> v3",
            "user-agent Firefox/0 (at its least) -> v3",
            "user-agent Firefox/909090909090909090909090909...9090909090 (at its most) -> v3",
            "user-agent Firefox/ (one character short) -> v1",
            "user-agent fIREFOX/1 (in other case) -> v1",
            "user-agent meshproof-other (something else) -> v1",
            *[f"user-agent Firefox/{letter} ({letter} for 1) -> v1" for letter in "aA-_."],
        ],
    ),
    "header that is there": (
        "{headers: {x-debug: {}}}",
        ["x-debug 1 -> v3", "no x-debug -> v1", "x-debug meshproof-other (of any value) -> v3"],
    ),
    "header that is not there": (
        "{withoutHeaders: {x-debug: {}}}",
        ["no x-debug -> v3", "x-debug 1 -> v1", "x-debug meshproof-other -> v1"],
    ),
    "header without a value": (
        "{withoutHeaders: {x-user: {exact: burr}}}",
        [
            "no x-user -> v3",
            "x-user burr -> v1",
            "x-user bur (one character short) -> v3",
            "x-user burrx (one character more) -> v3",
            "x-user BURR (in other case) -> v3",
            "x-user xburr (with something before it) -> v3",
            "x-user meshproof-other -> v3",
        ],
    ),
    "header without a prefix": (
        "{withoutHeaders: {x-user: {prefix: b-}}}",
        [
            "no x-user -> v3",
            "x-user b- -> v1",
            "x-user b-x (and more) -> v1",
            "x-user b (one character short) -> v3",
            "x-user B- (in other case) -> v3",
            "x-user xb- (with something before it) -> v3",
            "x-user meshproof-other -> v3",
        ],
    ),
    "query": (
        "{queryParams: {debug: {exact: 'on'}}}",
        [
            "query debug=on -> v3",
            "no query debug -> v1",
            "query debug=o (one character short) -> v1",
            "query debug=onx (one character more) -> v1",
            "query debug=ON (in other case) -> v1",
            "query debug=xon (with something before it) -> v1",
            "query debug=meshproof-other (something else) -> v1",
        ],
    ),
    "labels of the caller": (
        "{sourceLabels: {app: productpage}}",
        ["from app=productpage -> v3", "from another workload -> v1"],
    ),
    "two labels of the caller": (
        "{sourceLabels: {app: productpage, tier: web}}",
        [
            "from app=productpage,tier=web -> v3",
            "from another workload -> v1",
            "from a workload without app=productpage -> v1",
            "from a workload without tier=web -> v1",
        ],
    ),
    "two at once": (
        "{uri: {exact: /a}, method: {exact: GET}}",
        [
            "path /a and method GET -> v3",
            "path / (one character short) -> v1",
            "path /ax (one character more) -> v1",
            "path /A (in other case) -> v1",
            "path /x/a (with something before it) -> v1",
            "path /meshproof-other (something else) -> v1",
            "path /a/x (below it) -> v1",
            *[
                f"method {method} -> v1"
                for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
            ],
        ],
    ),
}


def without_defaults(ids: list[str]) -> list[str]:
    return [case_id for case_id in ids if case_id != "any other request -> v1"]


@pytest.mark.parametrize(("conditions", "ids"), TABLE.values(), ids=list(TABLE))
def test_cases_of_a_condition(match: Match, conditions: str, ids: list[str]) -> None:
    assert without_defaults(match(conditions)) == without_defaults(ids)


SEED = r"{headers: {cookie: {regex: '^(.*?;)?(user=burr)(;.*)?$'}}}"
REPAIRED = r"{headers: {cookie: {regex: '^(.*?;\s*)?user=burr(;.*)?$'}}}"


@pytest.mark.parametrize(
    ("conditions", "among", "fits"),
    [(SEED, "v1", "f;user=burr;c"), (REPAIRED, "v3", "8; user=burr;v")],
    ids=["seed", "repaired"],
)
def test_a_cookie_alone_first_last_and_between_others(
    match: Match, conditions: str, among: str, fits: str
) -> None:
    """The seed's regex takes no space after `;`, which a browser sends (RFC 6265, 4.2.1)."""
    assert match(conditions) == [
        "cookie user=burr -> v3",
        "no cookie -> v1",
        f"cookie {fits} (another that fits) -> v3",
        "cookie user=bur (one character short) -> v1",
        "cookie user=burrx (one character more) -> v1",
        "cookie USER=BURR (in other case) -> v1",
        "cookie xuser=burr (with something before it) -> v1",
        "cookie meshproof-other (something else) -> v1",
        "cookie user=burr.x (with a dot after it) -> v1",
        "cookie user=burr; a=b (first of two) -> v3",
        f"cookie a=b; user=burr (last of two) -> {among}",
        f"cookie a=b; user=burr; c=d (between two) -> {among}",
        "cookie user=BURR (in other case) -> v1",
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        "{uri: {exact: /a/../b}}",
        "{uri: {prefix: '/a?b'}}",
        "{method: {exact: get}}",
        "{queryParams: {a: {exact: 'b&c'}}}",
        r"{headers: {x: {regex: '\pN{2}\z'}}}",
    ],
)
def test_what_no_client_can_send_is_not_reached(
    routes: Callable[..., object], match: Match, conditions: str
) -> None:
    assert match(conditions) == ["any other request -> v1"]


def test_a_long_regex_is_cut_in_the_id(match: Match) -> None:
    names = "|".join(f"user-{number:03}-of-the-company" for number in range(40))
    ids = match(f"{{headers: {{x-user: {{regex: '{names}'}}}}}}")
    assert max(map(len, ids)) <= 120
    assert len(set(ids)) == len(ids)
