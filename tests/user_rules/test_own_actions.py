"""Redirects, rewrites, headers, faults, timeouts, retries, mirrors: proven, and seen wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.faulty_command import build_command

RULES = Path(__file__).with_name("actions.yaml")
command = partial(build_command, RULES)
pytestmark = pytest.mark.local
Run = Callable[..., Any]

HEADERS = "shop: path /headers -> v1 50 %, v2 50 %"
HEADERS_THERE = (
    "shop: path /headers, x-set, x-add, x-remove, x-version, ...ack-remove already there "
    "-> v1 50 %, v2 50 %"
)
MOVED = "shop: path /old -> 302 to /new"
DOCS = "shop: path /docs/ -> 301 to https://docs.example:8443/docs/"
DOCS_MORE = "shop: path /docs/x (and more) -> 301 to https://docs.example:8443/docs/x"
TEAPOT = "shop: path /teapot -> 418"
API = "shop: path /api/ -> v1 as /v2/ at api.example"
API_MORE = "shop: path /api/x (and more) -> v1 as /v2/x at api.example"
ABORTED = "shop: path /aborted -> 503"
SOMETIMES = "shop: path /sometimes -> v1 60 %, 500 (aborted) 40 %"
DELAYED = "shop: path /delayed -> v1 after 0.4 s"
LATE = "shop: path /timeout, answered too late -> 504 after 0.5 s"
FORGIVEN = "shop: path /retries, failing 3 times with 500 -> v1"
UNFORGIVEN = "shop: path /retries, failing 4 times with 500 -> 500"
MOVED_QUERY = "shop: path /old, with a query -> 302 to /new"
DOCS_QUERY = (
    "shop: path /docs/, with a query -> 301 to https://docs.example:8443/docs/?mes...of-other=1"
)
API_QUERY = "shop: path /api/, with a query -> v1 as /v2/ at api.example"
WHOLE_QUERY = "shop: path /whole, with a query -> v1 as /all/of/it"
BY_REGEX = "shop: path /item/, path /item/item/, which its pattern takes -> v1"
BELOW = "shop: path /item/, path /item/item/x, which its pattern takes -> v1"
MIRRORED = "shop: path /mirrored, mirrored to shop v2 -> v1"
PARTLY = "shop: path /partly, mirrored to audit for 50 % -> v1"

#: Fault -> every case that fails, with what its message says.
FAULTS = {
    "actions, first": {
        MOVED: "HTTP 301 answered\nexpected: HTTP 302 to http://shop.default.svc.cluster.local/new",
        MOVED_QUERY: "HTTP 301 answered",
        DOCS: "but to https://docs.example/docs/, not https://docs.example:8443/docs/",
        DOCS_QUERY: "but to https://docs.example/docs/?meshproof-other=1, not https://docs.example:8443",
        DOCS_MORE: "but to https://docs.example/docs/x, not https://docs.example:8443/docs/x",
        TEAPOT: "HTTP 418, but with 'tall and stout', not 'short and stout'",
        API: "path arrived as /v2, not /v2/",
        API_QUERY: "path arrived as /v2?meshproof-other=1, not /v2/?meshproof-other=1",
        WHOLE_QUERY: "path arrived as /whole?meshproof-other=1, not /all/of/it?",
        BY_REGEX: "path arrived as /item/, not /item/item/",
        BELOW: "path arrived as /item/x, not /item/item/x",
        API_MORE: "path arrived as /v2x, not /v2/x",
        "shop: path /whole -> v1 as /all/of/it": "path arrived as /whole, not /all/of/it",
        "shop: path /item/x (and more) -> v1 as /x/item": "path arrived as /x, not /x/item",
        HEADERS_THERE: "x-set arrived as 'meshproof-other', not 'one', "
        "x-back-set came back as 'meshproof-other, three', not 'three'",
        ABORTED: "HTTP 500 answered\nexpected: HTTP 503 answers",
        SOMETIMES: "where 60 % was declared",
        DELAYED: ", not 0.4 s\nexpected: shop v1 answers after 0.4 s\nobserved: HTTP 200",
        LATE: "shop.default.v1 answered\nexpected: HTTP 504 answers after 0.5 s\n",
        FORGIVEN: "HTTP 500, empty answered\nexpected: shop v1 answers, each of 28 requests\n",
        MIRRORED: "0 of 28 requests were copied\nexpected: one copy, each of 28 requests\n",
    },
    "actions, second": {
        MOVED: "to http://shop.default.svc.cluster.local/newer, not http://",
        MOVED_QUERY: "/newer?meshproof-other=1, not http://",
        DOCS_QUERY: "but to http://docs.example:8443/docs/?meshproof-other=1, not https://",
        API_QUERY: "authority arrived as shop.default.svc.cluster.local, not api.example",
        DOCS: "HTTP 301, but to http://docs.example:8443/docs/, not https://docs.example:8443",
        DOCS_MORE: "HTTP 301, but to http://docs.example:8443/docs/x, not https://docs.example",
        TEAPOT: "content-type came back as 'text/plain', not 'text/tea'",
        API: "but authority arrived as shop.default.svc.cluster.local, not api.example",
        API_MORE: "but authority arrived as shop.default.svc.cluster.local, not api.example",
        HEADERS: "but x-version arrived as ",
        HEADERS_THERE: "but x-version arrived as ",
        ABORTED: "shop.default.v1 answered\nexpected: HTTP 503 answers",
        SOMETIMES: "HTTP 503 gave",
        DELAYED: ", not 0.4 s\nexpected: shop v1 answers after 0.4 s\n",
        LATE: " s, not 0.5 s\nexpected: HTTP 504 answers after 0.5 s\n",
        UNFORGIVEN: "shop.default.v1 answered\nexpected: HTTP 500 answers, each of 3 requests\n",
        MIRRORED: "0 of 28 requests were copied\n",
    },
    "actions, third": {
        DOCS: "to https://shop.default.svc.cluster.local:8443/docs/, not https://docs.example",
        DOCS_QUERY: "to https://shop.default.svc.cluster.local:8443/docs/?meshproof-other=1, not",
        DOCS_MORE: "to https://shop.default.svc.cluster.local:8443/docs/x, not https://docs",
        TEAPOT: "HTTP 200 answered\nexpected: HTTP 418 with 'short and stout' answers",
        HEADERS_THERE: "x-add arrived as 'two', not 'meshproof-other', "
        "x-back-add came back as 'four', not 'meshproof-other, four'",
        FORGIVEN: "HTTP 500, empty answered",
        PARTLY: "copied gave",
    },
    "actions, fourth": {
        HEADERS: "but x-add is missing, 'two' expected, x-set is missing, 'one' expected",
        HEADERS_THERE: "x-remove arrived as 'meshproof-other', not removed",
    },
    "actions, fifth": {
        HEADERS: "but x-back-add is missing, 'four' expected",
        HEADERS_THERE: "x-back-remove came back as 'meshproof-other', not removed",
    },
}


def test_every_action_is_proven(meshproof: Run) -> None:
    ended = meshproof(*command("nothing"))
    assert ended.code == 0, ended.output
    named = {MOVED, DOCS, TEAPOT, API, HEADERS, ABORTED, SOMETIMES, DELAYED, LATE, MIRRORED, PARTLY}
    assert named <= set(ended.results)


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_action_fails_its_cases_and_no_others(meshproof: Run, name: str) -> None:
    for result in meshproof(*command(name)).require_failed(FAULTS[name]):
        assert result.rule
        assert result.rule.file == str(RULES), result.rule
        curl = "see it: curl -i -H 'Host: shop.default.svc.cluster.local'"
        assert curl in result.message


def test_actions_at_a_gateway_and_of_route_rules(meshproof: Run) -> None:
    ended = meshproof("test", "--rules", str(RULES.with_name("gate.yaml")))
    assert ended.code == 0, ended.output
    assert {
        "shop.example: path /here -> 301 to /there",
        "shop.example: path /api/x (and more) -> shop as /x at shop",
        "shop.example: path /api/, failing twice with gRPC 14 -> shop as / at shop",
        "shop.example: path /api/, failing 3 times with gRPC 14 -> gRPC 14",
        "shop.example: path /api/, mirrored to audit -> shop as / at shop",
        "shop.example: path /down -> 503",
        "old: path /moved -> 302 to http://new.example/new",
        "old: any other request -> v1 at older",
        "old: any other request, x-old already there -> v1 at older",
        "old: any other request, answered too late -> 504 after 1 s",
        "old: any other request, failing once with 500 -> v1 at older",
        "old: any other request, failing twice with 500 -> 500",
        "old: any other request, mirrored to copy v2 -> v1 at older",
    } <= set(ended.results)
