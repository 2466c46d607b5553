"""The oracle says what a Sidecar hides from its callers, and from where it asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from meshproof.documents import manifest
from meshproof.oracle import sidecars
from meshproof.oracle.conditions import Call
from meshproof.oracle.derive import derive
from meshproof.rules.known_hosts import read_valid_sidecars
from meshproof.rules.model import RuleSet
from tests.sidecar_texts import CALLERS, RULE, SEEN, write_sidecar

Read = Callable[[str], RuleSet]
CART = "cart.shop.svc.cluster.local"


@pytest.fixture
def with_sidecars(read: Read) -> Callable[[str, str], RuleSet]:
    """Read a rule, and the Sidecars beside it."""

    def read_both(rule: str, sidecar_text: str) -> RuleSet:
        documents = manifest.parse(sidecar_text, "sidecar.yaml")
        return replace(read(rule), sidecars=read_valid_sidecars(documents))

    return read_both


@pytest.mark.parametrize("text", SEEN)
def test_callers_see_what_their_sidecar_imports(
    with_sidecars: Callable[[str, str], RuleSet], text: str
) -> None:
    rules = with_sidecars(RULE, text)
    (table,) = rules.tables
    seeing = []
    for namespace, labels, port in CALLERS:
        call = Call(CART, port=port, namespace=namespace, source=labels)
        if sidecars.sees_service(rules, call):
            seen = "rule" if sidecars.sees_table(rules, table, call) else "service"
        else:
            seen = "nothing"
        seeing.append(seen)
        assert sidecars.hides(rules, table, call, {}) == (seen != "rule")
    assert " ".join(seeing) == SEEN[text]


#: Sidecars -> the namespaces that are asked, without and with other workloads in that of the rule.
ASKED = {
    write_sidecar("shop", "./*"): ("default", "default shop"),
    write_sidecar("istio-system", "./*"): ("shop", "shop"),
    write_sidecar("default", "bank/*"): ("shop", "shop"),
    write_sidecar("bank", "bank/*"): ("default", "default"),
    write_sidecar("shop", "bank/*", selector="app: job"): ("default", "default"),
    "": ("default", "default"),
}


@pytest.mark.parametrize("text", ASKED)
def test_it_asks_from_where_a_sidecar_says_what_is_seen(
    with_sidecars: Callable[[str, str], RuleSet], text: str
) -> None:
    rules = with_sidecars(RULE, text)
    for lone, expected in zip((["shop"], []), ASKED[text], strict=True):
        cases = derive(rules, lone_namespaces=lone).cases
        assert " ".join(sorted({case.call.namespace for case in cases})) == expected


def test_no_near_miss_is_of_a_caller_that_sees_nothing(
    with_sidecars: Callable[[str, str], RuleSet],
) -> None:
    rule = RULE.replace("- route", "- match: [{sourceNamespace: shop}]\n    route")
    for text, expected in (
        ("", {"default", "shop"}),
        (write_sidecar("istio-system", "./*"), {"shop"}),
    ):
        cases = derive(with_sidecars(rule, text)).cases
        assert {case.call.namespace for case in cases} == expected


def test_a_caller_that_a_match_names_is_asked_though_it_sees_nothing(
    with_sidecars: Callable[[str, str], RuleSet],
) -> None:
    rule = RULE.replace("- route", "- match: [{sourceNamespace: bank}]\n    route")
    cases = derive(with_sidecars(rule, write_sidecar("bank", "bank/*"))).cases
    assert {case.call.namespace for case in cases if case.route_index == 0} == {"bank"}
