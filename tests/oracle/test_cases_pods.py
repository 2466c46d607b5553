"""A key that keeps requests on one pod has a case, or a reason why none shows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.oracle.derive import Case, derive
from meshproof.oracle.pod_keys import OTHER_KEYS
from meshproof.rules.model import RuleSet
from tests.manifest_text import write_hashed_rule

Read = Callable[[str], RuleSet]
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
  - ROUTE
---
"""
PLAIN = "route: [{destination: {host: cart}}]"
HEADER = "{httpHeaderName: X-User}"


def write(route: str = PLAIN, pod_hash: str = HEADER) -> str:
    definition = write_hashed_rule("cart", pod_hash, "{httpQueryParameterName: k}")
    return ROUTES.replace("ROUTE", route) + definition


def find_key_cases(rules: RuleSet) -> list[Case]:
    return [case for case in derive(rules).cases if case.pod_key is not None]


#: Route and hash -> the key that a case shows.
SHOWN = {
    (PLAIN, HEADER): "header x-user",
    (PLAIN, "{httpQueryParameterName: k}"): "query parameter k",
    (PLAIN, "{httpCookie: {name: k}}"): "cookie k",
    (PLAIN, "{useSourceIp: true}"): "address of the client",
    (f"{{mirror: {{host: cart}}, {PLAIN}}}", HEADER): "header x-user",
    (PLAIN, "{httpHeaderName: a, minimumRingSize: 256}"): "header a",
    (PLAIN, "{httpHeaderName: a, maglev: {tableSize: 31}}"): "header a",
    ("route: [{destination: {host: cart, subset: v1}}]", HEADER): "header x-user",
    ("route: [{destination: {host: cart, subset: v3}}]", HEADER): "query parameter k",
    (f"{{match: [{{headers: {{x-user: {{prefix: a}}}}}}], {PLAIN}}}", HEADER): "header x-user",
}
#: Route and hash for which nothing shows it -> what is said of each case.
UNSHOWN = {
    ("route: [{destination: {host: cart, subset: v2}}]", HEADER): "",
    (PLAIN, "{useSourceIp: false}"): "",
    (PLAIN, "{httpHeaderName: x-request-id}"): "proxies set that header themselves",
    (PLAIN, "{httpHeaderName: a, ringHash: {minimumRingSize: 8}}"): "on a ring of 8 one pod may",
    (f"{{headers: {{request: {{set: {{x-user: a}}}}}}, {PLAIN}}}", HEADER): "the route changes it",
    (
        f"{{fault: {{abort: {{httpStatus: 503, percentage: {{value: 50}}}}}}, {PLAIN}}}",
        HEADER,
    ): "delayed or aborted",
    (
        "route: [{destination: {host: cart, subset: v1}, weight: 50}, "
        "{destination: {host: cart, subset: v2}, weight: 50}]",
        HEADER,
    ): "the requests are split before",
}


@pytest.mark.parametrize("rule", SHOWN)
def test_a_case_shows_the_key(rule: tuple[str, str], read: Read) -> None:
    (case,) = find_key_cases(read(write(*rule)))
    assert str(case.pod_key) == SHOWN[rule]
    assert case.pod_key is not None
    assert len(case.pod_key.others) == OTHER_KEYS
    assert all(call.shows_pods for call in (case.call, *case.pod_key.others))
    if case.pod_key.pod_hash.kind != "source":
        assert len({case.call, *case.pod_key.others}) == OTHER_KEYS + 1


@pytest.mark.parametrize("rule", UNSHOWN)
def test_what_nothing_shows_is_named(rule: tuple[str, str], read: Read) -> None:
    rules = read(write(*rule))
    assert not find_key_cases(rules)
    for case in derive(rules).cases:
        assert any(UNSHOWN[rule] in part for part in case.answer.unproven) or not UNSHOWN[rule]


def test_a_match_that_leaves_one_value_has_no_case(read: Read) -> None:
    route = f"{{match: [{{headers: {{x-user: {{exact: a}}}}}}], {PLAIN}}}"
    assert not find_key_cases(read(write(route)))


def test_the_rule_of_the_callers_namespace_holds(read: Read) -> None:
    _, _, definition = write().partition("---\n")
    full = definition.replace("host: cart\n", "host: cart.default.svc.cluster.local\n")
    elsewhere = full.replace("name: cart}", "name: cart, namespace: shop}")
    without = write(pod_hash="{useSourceIp: false}")
    assert not find_key_cases(read(f"{without}---\n{elsewhere}"))
    for_mesh = full.replace("name: cart}", "name: cart, namespace: istio-system}")
    rule, _, _ = write().partition("---\n")
    assert len(find_key_cases(read(f"{rule}---\n{for_mesh}"))) == 1
