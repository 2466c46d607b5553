"""An explanation names the route that the cases of the plan expect, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.base.errors import UsageError
from meshproof.oracle.explanation import Explanation
from meshproof.user_rules import loading
from meshproof.user_rules.asking import describe_answer, explain_url
from meshproof.user_rules.called_url import CalledUrl
from meshproof.user_rules.loading import UserRules
from tests import ROOT

Load = Callable[..., UserRules]
RULE_FILES = sorted((ROOT / "tests/user_rules").glob("*.yaml"))
OLD, NEW = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
SHOP = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart-v1, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template: {metadata: {labels: {app: cart, version: v1}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}}
---
"""


def rule(name: str, host: str, gateway: str, routes: str, created: str = OLD) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop, creationTimestamp: "{created}"}}
spec:
  hosts: ["{host}"]
  gateways: [{gateway}]
  http:
{routes}---
"""


TO_WEB = "  - route: [{destination: {host: web}}]\n"
API_TO_CART = """\
  - name: api
    match: [{uri: {prefix: /api}, headers: {x-beta: {exact: "true"}}}]
    route: [{destination: {host: cart}}]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_texts(*texts: str) -> UserRules:
        (tmp_path / "rules.yaml").write_text(SHOP + "".join(texts))
        return loading.load([str(tmp_path / "rules.yaml")])

    return load_texts


def ask(user_rules: UserRules, url: str, *headers: str, caller: str = "") -> Explanation:
    return explain_url(CalledUrl(url, "GET", headers, caller), user_rules)


def list_routes(explanation: Explanation) -> list[tuple[str, str]]:
    """Return each route's rule with its number, and what becomes of the request there."""
    words = []
    for asked in explanation.routes:
        verdict = "takes" if asked.taken else "no" if asked.is_asked else "not asked"
        words.append((f"{asked.table.name} {asked.index + 1}", verdict))
    return words


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_the_explained_route_is_that_of_every_case(path: Path) -> None:
    user_rules = loading.load([str(path)])
    differences = []
    for case in user_rules.plan.cases:
        explanation = user_rules.explainer.explain(case.call)
        taken = explanation.taken if explanation else None
        expected = None
        if case.route_index is not None:
            expected = (case.table_at, case.route_index)
        if (taken and (taken.table.at, taken.index)) != expected:
            differences.append((case.id, expected, taken and (taken.table.at, taken.index)))
    assert user_rules.plan.cases
    assert differences == []


def test_each_route_is_asked_in_order_and_says_why_not(load: Load) -> None:
    user_rules = load(rule("shop", "shop.example.com", "gw", API_TO_CART + TO_WEB))
    explanation = ask(user_rules, "http://shop.example.com/api/x", "X-Beta: TRUE")
    assert list_routes(explanation) == [("shop 1", "no"), ("shop 2", "takes")]
    missed = explanation.routes[0].attempts[0].missed
    assert missed is not None
    assert missed.text == "x-beta exact 'true'"
    assert missed.describe(explanation.call) == "x-beta TRUE"
    explanation = ask(user_rules, "http://shop.example.com/api/x", "X-Beta: true")
    assert list_routes(explanation) == [("shop 1", "takes"), ("shop 2", "not asked")]
    assert describe_answer(explanation) == "cart"


def test_what_takes_every_request_comes_behind_the_routes_of_other_rules(load: Load) -> None:
    everything = rule("a-all", "shop.example.com", "gw", TO_WEB, OLD)
    api = rule("b-api", "shop.example.com", "gw", API_TO_CART, NEW)
    explanation = ask(load(everything, api), "http://shop.example.com/api", "x-beta: true")
    assert list_routes(explanation) == [("b-api 1", "takes"), ("a-all 1", "not asked")]


def test_a_host_by_its_name_comes_before_a_wildcard(load: Load) -> None:
    wide = rule("wide", "*.example.com", "gw", TO_WEB)
    exact = rule("exact", "shop.example.com", "gw", API_TO_CART)
    explanation = ask(load(wide, exact), "http://shop.example.com/")
    assert list_routes(explanation) == [("exact 1", "no")]
    assert describe_answer(explanation) == "answered 404"
    explanation = ask(load(wide, exact), "http://other.example.com/")
    assert list_routes(explanation) == [("wide 1", "takes")]


def test_in_the_mesh_the_oldest_rule_has_the_host_alone(load: Load) -> None:
    rules = (
        rule("new", "cart", "mesh", TO_WEB, NEW),
        rule("old", "cart", "mesh", API_TO_CART, OLD),
    )
    explanation = ask(load(*rules), "http://cart/", caller="web")
    assert list_routes(explanation) == [("old 1", "no")]
    assert explanation.call.namespace == "shop"
    assert dict(explanation.call.source) == {"app": "web"}
    (note,) = explanation.notes
    assert note.startswith("shop/old (")
    assert "has cart.shop.svc.cluster.local alone; shop/new (" in note


def test_a_service_without_a_rule_is_reached_as_it_is(load: Load) -> None:
    user_rules = load(rule("shop", "shop.example.com", "gw", TO_WEB))
    explanation = ask(user_rules, "http://cart.shop/x", caller="shop/web")
    assert explanation.routes == ()
    assert describe_answer(explanation) == "cart"


@pytest.mark.parametrize(
    ("url", "caller", "words"),
    [
        ("http://shop.exampel.com/", "", "no Gateway serves shop.exampel.com at port 80"),
        ("http://shop.example.com:81/", "", "at port 81 (they serve *.example.com)"),
        ("http://cart/", "wbe", "no workload here has that name; did you mean 'web'?"),
        ("http://cart/", "shop/app", "labels are taken, too"),
        ("http://cart/", "app=web,x", "expected KEY=VALUE, got 'x'"),
        ("http://crat/", "web", "did you mean 'cart'?"),
        ("ftp://shop.example.com/", "", "expected http://HOST/PATH or https://HOST/PATH"),
        ("http://shop.example.com:port/", "", "no URL"),
        ("http:///x", "", "the host is missing"),
    ],
)
def test_a_wrong_url_or_caller_is_refused_with_the_nearest(
    load: Load, url: str, caller: str, words: str
) -> None:
    rules = (rule("shop", "shop.example.com", "gw", TO_WEB), rule("c", "cart", "mesh", TO_WEB))
    with pytest.raises(UsageError) as refused:
        ask(load(*rules), url, caller=caller)
    assert words in str(refused.value)


def test_a_header_without_a_colon_is_refused(load: Load) -> None:
    user_rules = load(rule("shop", "shop.example.com", "gw", TO_WEB))
    with pytest.raises(UsageError, match="expected 'name: value'"):
        ask(user_rules, "http://shop.example.com/", "x-beta")
