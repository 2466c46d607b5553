"""The oracle says which callers have a subset at all: those whose DestinationRule defines it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.oracle.derive import derive
from meshproof.oracle.subsets import find_labels, sees_subset
from meshproof.rules.model import RuleSet

Read = Callable[[str], RuleSet]
RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: OWNER}
spec:
  hosts: [cart.shop.svc.cluster.local]
  http: [{route: [{destination: {host: cart.shop.svc.cluster.local, subset: v1}}]}]
"""


def write_rule(owner: str) -> str:
    return RULE.replace("OWNER", owner)


def define(
    namespace: str,
    host: str = "cart.shop.svc.cluster.local",
    subset: str = "v1",
    export: str = "*",
    version: str = "",
) -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart-{subset}, namespace: {namespace}}}
spec:
  host: "{host}"
  exportTo: ["{export}"]
  subsets: [{{name: {subset}, labels: {{version: {version or subset}}}}}]
"""


#: The namespaces of DestinationRules -> who has the subset: callers of default, shop, bank, mesh.
SEEN = {
    (define("shop"),): "default shop bank istio-system",
    (define("bank"),): "bank",
    (define("istio-system"),): "default shop bank istio-system",
    (define("bank"), define("shop", subset="v2")): "bank",
    (define("shop"), define("bank", subset="v2")): "default shop istio-system",
    (define("shop"), define("istio-system", subset="v2")): "default shop bank istio-system",
    (define("istio-system"), define("shop", subset="v2")): "",
    (define("bank"), define("shop", export=".")): "shop bank",
    (define("shop", export="bank"), define("bank")): "bank",
    (define("istio-system", export="."), define("bank")): "bank istio-system",
    (define("shop", "*.shop.svc.cluster.local"),): "default shop bank istio-system",
    (define("shop", "*.local"), define("shop", subset="v2")): "",
    (define("shop", "*.local", "v2"), define("shop", "*.shop.svc.cluster.local")): (
        "default shop bank istio-system"
    ),
}


@pytest.mark.parametrize("definitions", SEEN)
def test_the_first_rule_that_is_looked_at_decides(read: Read, definitions: tuple[str, ...]) -> None:
    rules = read(write_rule("shop") + "".join(definitions))
    target = rules.tables[0].routes[0].split[0]
    callers = ("default", "shop", "bank", "istio-system")
    seeing = [caller for caller in callers if sees_subset(rules, target, caller)]
    assert seeing == SEEN[definitions].split()


def test_a_rule_for_clients_is_asked_from_their_namespace(read: Read) -> None:
    cases = derive(read(write_rule("bank") + define("bank"))).cases
    assert {case.call.namespace for case in cases} == {"bank"}


def test_a_subset_that_no_caller_sees_is_asked_and_named(read: Read) -> None:
    cases = derive(read(write_rule("shop") + define("bank"))).cases
    assert {case.call.namespace for case in cases} == {"default"}
    assert {case.shares[0][0].subset for case in cases} == {"v1"}
    assert cases[0].title.endswith(
        "; no DestinationRule that callers of namespace default see defines subset v1 of "
        "cart.shop.svc.cluster.local: they get a 503"
    )


#: The namespaces of DestinationRules -> the version that callers of default, shop, bank get.
MEANT: dict[tuple[str, ...], str] = {
    (define("shop"), define("bank", version="v2")): "v1 v1 v2",
    (define("bank", version="v2"), define("shop")): "v1 v1 v2",
    (define("shop"), define("bank", version="v2", export="bank")): "v1 v1 v2",
    (define("shop"), define("bank", version="v2", export="shop")): "v1 v1 v1",
    (define("shop"), define("istio-system", version="v2")): "v1 v1 v1",
    (define("istio-system", version="v3"), define("bank", version="v2")): "v3 v3 v2",
    (define("shop"), define("bank", "*.local", version="v2")): "v1 v1 v2",
}


@pytest.mark.parametrize("definitions", MEANT)
def test_a_subset_is_what_the_rule_of_the_caller_says(
    read: Read, definitions: tuple[str, ...]
) -> None:
    rules = read(write_rule("shop") + "".join(definitions))
    (target,) = rules.tables[0].routes[0].split
    meant = [find_labels(rules, target, caller) for caller in ("default", "shop", "bank")]
    assert [dict(labels or ())["version"] for labels in meant] == MEANT[definitions].split()
    by_caller = {case.call.namespace: case.shares[0][0].subset for case in derive(rules).cases}
    default, _, bank = MEANT[definitions].split()
    assert by_caller == {"default": default, **({"bank": bank} if bank != default else {})}


def test_a_rule_of_callers_that_lacks_the_subset_is_asked(read: Read) -> None:
    text = write_rule("shop") + define("shop") + define("bank", "*.local", "v2")
    by_caller = {case.call.namespace: case.title for case in derive(read(text)).cases}
    assert "they get a 503" in by_caller["bank"]
    assert "they get a 503" not in by_caller["default"]
