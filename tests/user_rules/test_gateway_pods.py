"""The proxies of a Gateway run where the pods are that its selector selects."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.user_rules import loading
from meshproof.user_rules.loading import UserRules

RULES = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate, namespace: shop}
spec:
  selector: {SELECTOR}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [gate]
  EXPORT
  http:
  - match: [{sourceNamespace: edge, uri: {prefix: /edge}}]
    route: [{destination: {host: web}}]
  - route: [{destination: {host: web, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: edge}
spec:
  host: web.shop.svc.cluster.local
  subsets: [{name: v1, labels: {version: v1}}]
"""
POD = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {istio: VALUE}}
  template: {metadata: {labels: {istio: VALUE, app: NAME}}}
"""
OPERATOR = """\
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: istio, namespace: istio-system}
spec:
  SPEC
"""
SCOPED = "values: {pilot: {env: {PILOT_SCOPE_GATEWAY_TO_NAMESPACE: true}}}"
USUAL = "istio: ingressgateway"


def pod(namespace: str, value: str = "ingressgateway", name: str = "gw") -> str:
    text = POD.replace("NAMESPACE", namespace).replace("VALUE", value)
    return text.replace("NAME", name)


def operator(spec: str) -> str:
    return OPERATOR.replace("SPEC", spec)


def load(
    folder: Path, *texts: str, selector: str = USUAL, export: str = "", inventory: str = ""
) -> UserRules:
    """Return the rules of a folder with these texts, and with some inventory beside it."""
    rules = RULES.replace("SELECTOR", selector).replace("EXPORT", export)
    (folder / "rules").mkdir()
    (folder / "rules/shop.yaml").write_text(rules + "".join(texts))
    paths: tuple[str, ...] = ()
    if inventory:
        (folder / "mesh.yaml").write_text(inventory)
        paths = (str(folder / "mesh.yaml"),)
    reading = loading.ReadingOptions(inventory=paths, no_lint=True)
    return loading.load([str(folder / "rules")], reading=reading)


def namespaces(user_rules: UserRules) -> list[str]:
    (gateway,) = user_rules.rules.gateways
    return [proxy.namespace for proxy in gateway.proxies]


@pytest.mark.parametrize(
    ("texts", "selector", "expected"),
    [
        ((), USUAL, ["istio-system"]),
        ((pod("edge"),), USUAL, ["edge"]),
        ((pod("edge", "own"),), "istio: own", ["edge"]),
        ((pod("edge", "own"),), USUAL, ["istio-system"]),
        ((pod("edge"), pod("more")), USUAL, ["edge", "more"]),
        ((pod("edge"), pod("edge", name="other")), USUAL, ["edge"]),
        ((operator("namespace: edge"),), USUAL, ["edge"]),
        ((operator("profile: minimal"),), USUAL, ["istio-system"]),
        ((operator("[{namespace: a}, {namespace: b}]"),), USUAL, ["istio-system"]),
        (
            (operator("components: {ingressGateways: [{name: gw, namespace: edge}]}"),),
            USUAL,
            ["edge"],
        ),
        (
            (
                operator(
                    "components: {ingressGateways: "
                    "[{name: gw, namespace: edge, label: {istio: own}}]}"
                ),
            ),
            "istio: own",
            ["edge"],
        ),
        (
            (operator("components: {ingressGateways: [{namespace: edge, enabled: false}]}"),),
            USUAL,
            ["istio-system"],
        ),
        ((pod("edge"), operator(SCOPED)), USUAL, ["shop"]),
        ((pod("edge"), pod("shop"), operator(SCOPED)), USUAL, ["shop"]),
    ],
)
def test_where_the_proxies_are(
    tmp_path: Path, texts: tuple[str, ...], selector: str, expected: list[str]
) -> None:
    assert namespaces(load(tmp_path, *texts, selector=selector)) == expected


@pytest.mark.parametrize("made", [pod("edge"), operator("namespace: edge")])
def test_an_inventory_tells_it_too(tmp_path: Path, made: str) -> None:
    assert namespaces(load(tmp_path, inventory=made)) == ["edge"]


def test_the_rules_of_their_namespace_hold_for_them(tmp_path: Path) -> None:
    """The DestinationRule of `edge` is seen from there alone, and matches name that namespace."""
    for folder, texts in ((tmp_path / "a", ()), (tmp_path / "b", (pod("edge"),))):
        folder.mkdir()
        user_rules = load(folder, *texts)
        ends = {bool(case.dead_ends) for case in user_rules.plan.cases if case.route_index == 1}
        (coverage,) = user_rules.plan.coverage
        assert ends == {not texts}, "503 without the DestinationRule"
        assert (0 in coverage.reached) is bool(texts)


def test_exports_are_those_to_their_namespace(tmp_path: Path) -> None:
    export = "exportTo: [edge]"
    (own,) = load(tmp_path, pod("edge", "own"), selector="istio: own", export=export).plan.coverage
    assert own.reached == (0, 1)


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    (note,) = load(tmp_path).notes
    assert note == (
        "the proxies of Gateway shop/gate are taken to run in istio-system, as no pod with "
        "istio=ingressgateway is known, and PILOT_SCOPE_GATEWAY_TO_NAMESPACE to be unset"
    )


def test_a_proxy_of_another_namespace_names_the_setting_that_would_part_them(
    tmp_path: Path,
) -> None:
    (note,) = load(tmp_path, pod("edge")).notes
    assert note == (
        "the proxies of Gateway shop/gate run in edge: PILOT_SCOPE_GATEWAY_TO_NAMESPACE is taken "
        "to be unset"
    )


def test_nothing_is_assumed_of_a_proxy_beside_its_gateway(tmp_path: Path) -> None:
    assert load(tmp_path, pod("shop")).notes == ()
