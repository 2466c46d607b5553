"""CORS policies: what pages of each origin are told is proven, and seen wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshproof.run.record import Outcome
from meshproof.user_rules import loading
from tests.user_rules.faulty_command import build_command
from tests.user_rules.shop_texts import GATEWAY

RULES = Path(__file__).with_name("cors.yaml")
command = partial(build_command, RULES)
Run = Callable[..., Any]

A = "shop: path /api, from https://a.example -> any version"
B = "shop: path /api, from https://b. -> any version"
C = "shop: path /api, from https://e.c.example -> any version"
#: Further origins that the regex allows: another one, and both ends of its class.
C_OTHERS = [
    f"shop: path /api, from https://{name}.example -> any version"
    for name in ("yz.c", "a.c", "zazazazazazazazazazazazazaz....c")
]
B_OTHER = "shop: path /api, from https://b.x -> any version"
OTHER_PORT = "shop: path /api, from https://a.example:8443 -> any version"
OTHER = "shop: path /api, from https://a.exampl -> any version"
OTHER_LONGER = "shop: path /api, from https://a.examplex -> any version"
ASKED = "shop: path /api, preflight from https://a.example -> 200 to its preflight"
UNMATCHED = "shop: path /api, preflight from https://a.exampl -> any version"
IGNORED = "shop: path /ignoring, preflight from https://a.exampl -> 200"
IGNORING = "shop: path /ignoring, from https://a.example -> any version"
GETS = "shop: path /gets and method GET, from https://shop.example -> any version"
ANYTHING = "shop: path /anything, preflight from https://shop.example -> 200 to its preflight"
OLD = "old: any request, from https://shop.example -> v1"
OLD_ASKED = "old: any request, preflight from https://shop.example -> 200 to its preflight"

#: Fault -> every case that fails, with what its message says.
FAULTS = {
    "cors, first": {
        C: "access-control-allow-origin is missing, 'https://e.c.example' expected",
        **dict.fromkeys(C_OTHERS, "access-control-allow-origin is missing"),
        ASKED: "access-control-allow-methods came back as 'POST', not 'POST,GET'",
        IGNORED: "shop.default.other answered\nexpected: HTTP 200 answers",
    },
    "cors, second": {
        A: "access-control-expose-headers is missing, 'x-c' expected",
        B: "access-control-expose-headers is missing",
        **dict.fromkeys((C, *C_OTHERS, B_OTHER), "access-control-expose-headers is missing"),
        ASKED: "access-control-expose-headers is missing",
        ANYTHING: "access-control-allow-headers came back as 'x-a', not 'x-meshproof-other'",
        GETS: "access-control-allow-origin is missing, 'https://shop.example' expected",
        OLD_ASKED: "access-control-allow-methods came back as 'POST', not 'GET'",
    },
    "cors, third": {
        A: "access-control-allow-credentials is missing, 'true' expected",
        B: "access-control-allow-credentials is missing",
        **dict.fromkeys((C, *C_OTHERS, B_OTHER), "access-control-allow-credentials is missing"),
        OTHER_PORT: "came back as 'https://a.example:8443', not removed",
        ASKED: "access-control-allow-credentials is missing",
        OTHER: "access-control-allow-origin came back as 'https://a.exampl', not removed",
        OTHER_LONGER: "access-control-allow-origin came back as 'https://a.examplex', not removed",
        UNMATCHED: "HTTP 200",
    },
    "cors, fourth": {
        ASKED: "access-control-allow-headers came back as 'x-a', not 'x-a,x-b', "
        "access-control-max-age came back as '3600', not '86400'",
        UNMATCHED: "HTTP 200",
    },
}


def test_what_a_policy_cannot_do_is_named() -> None:
    (moved,) = (one for one in loading.load([str(RULES)]).plan.cases if "/moved ->" in one.id)
    assert moved.answer.unproven == (
        "its corsPolicy: Envoy has none where it redirects or answers by itself",
    )
    gets = next(one for one in loading.load([str(RULES)]).plan.cases if one.id == GETS)
    assert gets.answer.unproven == (
        "the preflights of its corsPolicy: they are OPTIONS, which its match does not take",
    )


@pytest.mark.local
def test_every_policy_is_proven(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    named = {A, B, C, OTHER, ASKED, UNMATCHED, IGNORED, IGNORING, GETS, ANYTHING, OLD, OLD_ASKED}
    assert named <= set(ended.results), sorted(ended.results)


@pytest.mark.local
@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_policy_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    for result in meshproof(*command(name)).require_failed(FAULTS[name]):
        assert result.rule
        assert result.rule.file == str(RULES), result.rule


PREFLIGHTS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match:
    - method: {exact: OPTIONS}
      headers:
        origin: {exact: https://a.example}
        access-control-request-method: {exact: POST}
    corsPolicy: {allowOrigins: [{exact: https://a.example}], allowMethods: [POST]}
    {action}
    route: [{destination: {host: cart}}]
"""


@pytest.mark.local
@pytest.mark.parametrize(
    ("action", "reason", "open_count"),
    [
        (
            "fault: {abort: {httpStatus: 503, percentage: {value: 50}}}",
            "who answers this preflight: its fault aborts some of them",
            2,  # also by the other name of its host
        ),
        ("timeout: 1s", "the timeout, retries and copies of this preflight", 0),
        ("mirror: {host: copies}", "the timeout, retries and copies of this preflight", 0),
    ],
    ids=["abort", "timeout", "mirror"],
)
def test_a_route_of_preflights_alone_is_not_expected_to_reach_its_destination(
    meshproof: Run, tmp_path: Path, action: str, reason: str, open_count: int
) -> None:
    (tmp_path / "rule.yaml").write_text(GATEWAY + PREFLIGHTS.replace("{action}", action))
    ended = meshproof("test", "--rules", "rule.yaml")
    assert ended.code == 0, ended.output
    assert f"not proven: {reason}" in " ".join(ended.output.split())
    unproven = [
        promise
        for promise, result in ended.results.items()
        if result.outcome is Outcome.NOT_SUPPORTED
    ]
    assert len(unproven) == open_count, unproven


FILTER = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, port: 80}]
  rules:
  - name: api
    filters:
    - type: CORS
      cors:
        allowOrigins: ["https://shop.example", "https://*.wide.example", "http://*"]
        allowMethods: [GET, PUT]
        exposeHeaders: [x-b]
        allowCredentials: true
    backendRefs: [{name: reviews, port: 80}]
"""


@pytest.mark.local
@pytest.mark.parametrize("fault", ["", "cors, third"])
def test_the_cors_filter_of_an_http_route(meshproof: Run, fault: str, tmp_path: Path) -> None:
    (tmp_path / "route.yaml").write_text(FILTER)
    planted = ("-p", "tests.user_rules.own_faults", "--own-fault", fault) if fault else ()
    ended = meshproof("test", "--rules", "route.yaml", *planted)
    assert ended.code == (1 if fault else 0), ended.output
    asked = "reviews: any request, preflight from https://shop.example -> 200 to its preflight"
    foreign = "reviews: any request, preflight from https://shop.exampl -> 200"
    wide = "reviews: any request, from https://.wide.example -> any version"
    assert {asked, foreign, wide} <= set(ended.results)
    assert {*ended.list_failed()} >= ({asked, wide} if fault else set())
