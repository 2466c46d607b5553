"""Options that a rule sets for the judge: read in every dialect, never passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.options.kinds import Number, Whole
from meshproof.options.table import OPTIONS
from meshproof.oracle import derive
from meshproof.rules import judge_options
from meshproof.rules.judge_options import ROUTING_KINDS, Options
from meshproof.rules.model import Route, RouteTable
from meshproof.verdict import Settings

SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
"""
VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  annotations:
    team: shop
    %s
spec:
  hosts: [shop]
  http:
  - match: [{uri: {prefix: /half}}]
    route:
    - {destination: {host: shop, subset: v1}, weight: 50}
    - {destination: {host: shop, subset: v2}, weight: 50}
  - route: [{destination: {host: shop, subset: v1}}]
"""
ROUTE_RULE = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata:
  name: half
  annotations:
    team: shop
    %s
spec:
  destination: {name: shop}
  route: [{labels: {version: v1}, weight: 50}, {labels: {version: v2}, weight: 50}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: burr}
spec:
  destination: {name: shop}
  precedence: 2
  match: {request: {headers: {x-user: {exact: burr}}}}
  route: [{labels: {version: v1}}]
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations:
    kubernetes.io/ingress.class: istio
    %s
spec:
  rules:
  - http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}
"""
HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  annotations:
    team: shop
    %s
spec:
  parentRefs: [{kind: Service, group: "", name: shop}]
  rules:
  - backendRefs: [{name: v1, port: 80, weight: 1}, {name: v2, port: 80, weight: 1}]
"""
GRPC_ROUTE = HTTP_ROUTE.replace("HTTPRoute", "GRPCRoute")
DIALECTS = {
    "VirtualService": VIRTUAL_SERVICE,
    "RouteRule": ROUTE_RULE,
    "Ingress": INGRESS,
    "HTTPRoute": HTTP_ROUTE,
    "GRPCRoute": GRPC_ROUTE,
}


def routes(text: str) -> list[Route]:
    parsed = rules.read_rules(manifest.parse(text, "shop.yaml"))
    return [route for table in parsed.tables for route in table.routes]


def subsets(dialect: str) -> str:
    return SUBSETS if dialect == "VirtualService" else ""


def describe_options(options: Options) -> list[tuple[str, float, str]]:
    return [(option.name, option.value, str(option.at)) for option in options]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_them_with_their_line(dialect: str) -> None:
    parsed = routes(subsets(dialect) + DIALECTS[dialect] % 'meshproof/look-every: "20"')
    line = 7 + subsets(dialect).count("\n")
    assert describe_options(next(route.options for route in parsed if route.options)) == [
        ("look_every", 20, f"shop.yaml:{line}")
    ]


def test_those_of_a_virtual_service_hold_for_all_its_routes() -> None:
    first, second = routes(SUBSETS + VIRTUAL_SERVICE % 'meshproof/tolerance: "5e-2"')
    assert (
        describe_options(first.options)
        == describe_options(second.options)
        == [("tolerance", 0.05, "shop.yaml:14")]
    )


def test_a_delegate_has_its_own_before_those_of_the_rule_that_delegates() -> None:
    annotations = 'meshproof/tolerance: "0.05", meshproof/leak: "0.02"'
    parsed = routes(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: shop, annotations: {{{annotations}}}}}\n"
        "spec: {hosts: [shop], http: [{delegate: {name: part}}, "
        "{route: [{destination: {host: shop}}]}]}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        'metadata: {name: part, annotations: {meshproof/leak: "0.03"}}\n'
        "spec: {http: [{route: [{destination: {host: shop}}]}]}\n"
    )
    (delegated, direct) = (
        {name: value for name, value, _ in describe_options(route.options)} for route in parsed
    )
    assert delegated == {"tolerance": 0.05, "leak": 0.03}
    assert direct == {"tolerance": 0.05, "leak": 0.02}


def test_those_of_a_route_rule_hold_for_its_route_alone() -> None:
    first, second = routes(ROUTE_RULE % 'meshproof/tolerance: "0.05"')
    assert (first.name, first.options) == ("burr", ())
    assert (second.name, describe_options(second.options)) == (
        "half",
        [("tolerance", 0.05, "shop.yaml:7")],
    )


def test_a_case_has_those_of_its_rule() -> None:
    parsed = rules.read_rules(manifest.parse(ROUTE_RULE % 'meshproof/leak: ".02"', "shop.yaml"))
    plan = derive.derive(parsed)
    assert {case.route_index: describe_options(case.options) for case in plan.cases} == {
        0: [],
        1: [("leak", 0.02, "shop.yaml:7")],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            'meshproof/tolerence: "0.05"',
            "7:5: meshproof/tolerence: meshproof has no option "
            "'tolerence'; did you mean 'tolerance'?",
        ),
        ('meshproof/look_every: "5"', "7:5: meshproof/look_every: .*mean 'look-every'?"),
        ('meshproof/alpha: "0.1"', "7:5: meshproof/alpha: the alpha is shared over all checks"),
        ('meshproof.io/leak: "0.1"', "7:5: meshproof.io/leak: options of meshproof are written"),
        ('meshprof/leak: "0.1"', "7:5: meshprof/leak: options of meshproof are written"),
        (
            "meshproof/tolerance: 0.05",
            '7:26: meshproof/tolerance: expected a number .* as text, such as "0.05", found 0.05',
        ),
        ('meshproof/tolerance: "5"', "7:26: meshproof/tolerance: expected .*, found '5'"),
        ('meshproof/tolerance: "5 %"', "7:26: meshproof/tolerance: expected .*, found '5 %'"),
        ('meshproof/tolerance: "nan"', "7:26: meshproof/tolerance: expected .*, found 'nan'"),
        ('meshproof/leak: "0"', "7:21: meshproof/leak: expected .*, found '0'"),
        ('meshproof/beta: "-0.1"', "7:21: meshproof/beta: expected .*, found '-0.1'"),
        ('meshproof/budget: "1.5"', "7:23: meshproof/budget: expected a whole number"),
        ('meshproof/budget: "0"', "7:23: meshproof/budget: expected a whole number"),
        ('meshproof/unnamed-budget: "1e999"', "7:31: meshproof/unnamed-budget: expected"),
        ("meshproof/present: [a]", "7:24: meshproof/present: expected"),
    ],
)
def test_what_cannot_hold_is_refused_at_its_place(
    dialect: str, annotation: str, message: str
) -> None:
    with pytest.raises(BadRules, match=f"^shop.yaml:{message}"):
        routes(DIALECTS[dialect] % annotation)


def test_an_object_that_routes_nothing_has_none() -> None:
    annotated = SUBSETS.replace(
        "{name: shop}", '{name: shop, annotations: {meshproof/leak: "0.1"}}', 1
    )
    with pytest.raises(BadRules, match=r"shop.yaml:3:\d+: .* it holds for nothing in a"):
        routes(annotated + VIRTUAL_SERVICE % "a: b")


def test_a_reader_that_passes_over_them_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: a reader gives its routes no options."""
    monkeypatch.setattr("meshproof.rules.istio.virtual_service.RouteTable", _without_options)
    with pytest.raises(BadRules, match=r"shop.yaml:14:\d+: look-every holds for no route"):
        routes(SUBSETS + VIRTUAL_SERVICE % 'meshproof/look-every: "20"')


def _without_options(**fields: Any) -> RouteTable:
    table = RouteTable(**fields)
    return replace(table, routes=tuple(replace(route, options=()) for route in table.routes))


def test_every_dialect_that_routes_is_tried_here() -> None:
    assert sorted(DIALECTS) == sorted(ROUTING_KINDS)


@pytest.mark.parametrize("name", judge_options.list_option_names())
@pytest.mark.parametrize(
    "value", ["0", "1e-300", "1e-9", "0.5", "0.999", "1", "2", "2.5", "1e3", "1e10", "1e999"]
)
def test_ranges_are_those_of_the_table_and_hold_for_the_judge(name: str, value: str) -> None:
    key = name.replace("_", "-")
    try:
        (route, _) = routes(SUBSETS + VIRTUAL_SERVICE % f'meshproof/{key}: "{value}"')
        taken = [option.value for option in route.options]
    except BadRules:
        taken = []
    (kind,) = (option.kind for option in OPTIONS if option.name == key)
    assert isinstance(kind, (Whole, Number))
    assert taken == ([float(value)] if kind.contains(float(value)) else [])
    for number in taken:
        assert getattr(Settings().with_values("", {name: number}), name) == number
