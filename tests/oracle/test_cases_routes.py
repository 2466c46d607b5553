"""Routes in their order, weights, hosts, gateways, dialects, and what is never reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.oracle.derive import Plan, derive
from meshproof.rules.model import RuleSet
from tests import ROOT

Routes = Callable[[str], Plan]
MANIFESTS = ROOT / "manifests" / "rules"


def describe_cases(plan: Plan) -> list[str]:
    return [case.id for case in plan.cases]


def test_the_first_route_with_a_match_that_holds_decides(routes: Routes) -> None:
    plan = routes(
        """
        - match: [{uri: {prefix: /a}}]
          route: [{destination: {host: reviews, subset: v1}}]
        - match: [{uri: {prefix: /ab}}, {uri: {exact: /c}}]
          route: [{destination: {host: reviews, subset: v2}}]
        - route: [{destination: {host: reviews, subset: v3}}]
        """
    )
    subsets = {case.call.path: case.shares[0][0].subset for case in plan.cases}
    assert subsets["/a"] == "v1"
    assert subsets["/c"] == "v2"
    assert subsets["/"] == "v3"
    (coverage,) = plan.coverage
    assert coverage.reached == (0, 1, 2)
    assert coverage.unreached == ()


def test_a_shadowed_route_is_named_with_what_shadows_it(routes: Routes) -> None:
    plan = routes(
        """
        - match: [{uri: {prefix: /a}}]
          route: [{destination: {host: reviews, subset: v1}}]
        - match: [{uri: {prefix: /ab}}]
          route: [{destination: {host: reviews, subset: v2}}]
        """
    )
    (coverage,) = plan.coverage
    first, second = coverage.table.routes
    assert coverage.unreached == ((1, f"the route at {first.at} takes everything that it matches"),)
    assert coverage.reached == (0,)
    assert second.at.line > first.at.line
    assert plan.coverage_share == 0.5


@pytest.mark.parametrize(
    "first",
    [
        "withoutHeaders: {x-a: {}}",
        "method: {exact: GET}",
        "queryParams: {q: {exact: '1'}}, withoutHeaders: {x-a: {exact: b}}",
        "uri: {regex: '/api.*'}, withoutHeaders: {x-a: {}, x-b: {}}",
    ],
)
def test_a_request_finds_its_way_past_the_routes_before(routes: Routes, first: str) -> None:
    """Not only what the route's own match says makes the request that reaches it."""
    plan = routes(
        f"""
        - match: [{{{first}}}]
          route: [{{destination: {{host: reviews, subset: v1}}}}]
        - match: [{{uri: {{exact: /api}}}}]
          route: [{{destination: {{host: reviews, subset: v2}}}}]
        - route: [{{destination: {{host: reviews, subset: v3}}}}]
        """
    )
    assert plan.coverage[0].reached == (0, 1, 2), plan.coverage[0].unreached


def test_weights_are_shares(routes: Routes) -> None:
    plan = routes(
        """
        - route:
          - {destination: {host: reviews, subset: v1}, weight: 1}
          - {destination: {host: reviews, subset: v2}, weight: 2}
          - {destination: {host: ratings}, weight: 1}
          - {destination: {host: reviews, subset: v3}, weight: 0}
        """
    )
    (case,) = plan.cases
    assert case.id == "reviews: any request -> v1 25 %, v2 50 %, ratings 25 %, v3 0 %"
    assert [share for _, share in case.shares] == [0.25, 0.5, 0.25, 0]
    assert case.needs_judge


def test_one_case_of_each_route_judges_its_split_closely(routes: Routes) -> None:
    plan = routes(
        """
        - match: [{uri: {prefix: /a}}]
          route:
          - {destination: {host: reviews, subset: v1}, weight: 90}
          - {destination: {host: reviews, subset: v2}, weight: 10}
        - route:
          - {destination: {host: reviews, subset: v1}, weight: 90}
          - {destination: {host: reviews, subset: v2}, weight: 10}
        """
    )
    assert all(case.needs_judge for case in plan.cases)
    for index in (0, 1):
        marks = [case.repeats_split for case in plan.cases if case.route_index == index]
        assert len(marks) > 1
        assert marks == [False, *(True for _ in marks[1:])]


def test_what_no_route_takes_is_404_by_virtualservice(routes: Routes) -> None:
    plan = routes(
        """
        - match: [{uri: {prefix: /a}}]
          route: [{destination: {host: reviews, subset: v1}}]
        """
    )
    unrouted = [case for case in plan.cases if case.route_index is None]
    assert unrouted
    assert {(case.status, case.shares) for case in unrouted} == {(404, ())}
    assert "reviews: path / (one character short) -> 404" in describe_cases(plan)


def test_what_no_routerule_takes_goes_to_every_version(plan: Routes) -> None:
    derived = plan(
        """
        apiVersion: config.istio.io/v1alpha2
        kind: RouteRule
        metadata: {name: a}
        spec:
          destination: {name: reviews}
          match: {request: {headers: {x-a: {exact: b}}}}
          route: [{labels: {version: v3}}]
        """.replace("\n        ", "\n")
    )
    assert "reviews: no x-a -> any version" in describe_cases(derived)
    assert {case.status for case in derived.cases} == {200}


def test_every_host_has_its_cases_and_the_near_misses_stand_at_the_first(plan: Routes) -> None:
    derived = plan(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: both}
spec:
  hosts: [reviews, ratings]
  http:
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: details}}]
"""
    )
    ids = describe_cases(derived)
    assert "reviews: path /a -> v1" in ids
    assert "ratings: path /a -> reviews v1" in ids
    assert "ratings: any other request -> details" in ids
    assert sum(case_id.startswith("ratings") for case_id in ids) == 2
    assert len(derived.coverage) == 1


def test_a_star_is_called_by_a_name_of_its_own_through_each_gateway(
    gateway: Callable[..., list[str]],
) -> None:
    assert gateway("'*'", "gate-0, gate-1", "*", "*.shop.example 8080") == [
        "meshproof-other.example | *: any request -> reviews v1",
        "meshproof-other.shop.example | *.shop.example: any request -> reviews v1",
    ]


def test_a_gateway_and_the_mesh(gateway: Callable[..., list[str]]) -> None:
    assert gateway("reviews, shop.example", "mesh, gate-0", "shop.example") == [
        "reviews.default.svc.cluster.local | reviews: any request -> v1",
        "shop.example | shop.example: any request through mesh -> reviews v1",
        "shop.example | shop.example: any request through default/gate-0 -> reviews v1",
    ]


def test_two_ports_of_a_gateway(gateway: Callable[..., list[str]]) -> None:
    assert gateway("shop.example", "gate-0, gate-1", "*", "* 8080") == [
        "shop.example | shop.example: any request through default/gate-0 -> reviews v1",
        "shop.example | shop.example: any request through default/gate-1 -> reviews v1",
    ]


def test_a_gateway_that_is_not_there_is_named(gateway: Callable[..., list[str]]) -> None:
    with pytest.raises(BadRules, match=r"rules\.yaml:\d+:\d+: there is no Gateway default/gate-1;"):
        gateway("shop.example", "gate-1", "*")


def test_both_ports_of_a_service_are_called(routes: Routes, read: Callable[[str], RuleSet]) -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""
    plan = derive(read(text), {"reviews.default.svc.cluster.local": (80, 9080)})
    assert [(case.id, case.call.host_header) for case in plan.cases] == [
        ("reviews: any request on port 80 -> any version", "reviews.default.svc.cluster.local"),
        (
            "reviews: any request on port 9080 -> any version",
            "reviews.default.svc.cluster.local:9080",
        ),
        ("reviews: host reviews on port 80 -> any version", "reviews"),
        ("reviews: host reviews:80 on port 80 -> any version", "reviews:80"),
        ("reviews: host reviews:9080 on port 9080 -> any version", "reviews:9080"),
    ]


def test_nothing_to_prove_is_an_error() -> None:
    with pytest.raises(BadRules, match="there is no route"):
        derive(RuleSet())


def test_a_regex_that_re2_refuses_is_an_error_at_its_place(routes: Routes) -> None:
    with pytest.raises(BadRules, match=r"rules\.yaml:\d+:\d+: RE2 does not take .*\(\?!"):
        routes(
            r"""
            - match: [{uri: {regex: '/(?!a).*'}}]
              route: [{destination: {host: reviews, subset: v1}}]
            """
        )


FOLDERS = sorted(path for path in MANIFESTS.iterdir() if (path / "v1alpha2.yaml").exists())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.name))
def test_both_dialects_of_a_promise_give_the_same_answers(folder: Path) -> None:
    plans = [
        derive(rules.read_rules(manifest.read([folder / f"{dialect}.yaml"])))
        for dialect in ("v1", "v1alpha2")
    ]
    first, second = ({(case.call, case.shares) for case in plan.cases} for plan in plans)
    assert first == second


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*/v1*.yaml")), ids=str)
def test_ids_are_unique_and_read_as_words(path: Path) -> None:
    if path.parent.name == "mtls_strict":
        pytest.skip("it has no route")
    ids = describe_cases(derive(rules.read_rules(manifest.read([path]))))
    assert len(set(ids)) == len(ids)
    for case_id in ids:
        assert case_id.isprintable()
        assert case_id.isascii()
        assert case_id.count(": ") == case_id.count(" -> ") == 1
        assert len(case_id) <= 120


LISTING = """
import sys
from meshproof.user_rules import loading as own
for case in own.load(sys.argv[1:]).plan.cases:
    sys.stdout.write(f"{case}\\n")
"""


def test_two_runs_give_the_same_cases(tmp_path: Path) -> None:
    """Hash seeds differ: sets come in another order, as between the workers of pytest-xdist."""
    rule = tmp_path / "rule.yaml"
    rule.write_text(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - match:
    - uri: {regex: '/[^/]+/(x|y|[0-9a-f]{4})/\\W.*'}
    - headers: {x-a: {regex: '[^;]*(a|b)\\S{3}'}}
    route: [{destination: {host: a}}]
"""
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", LISTING, str(rule), str(MANIFESTS / "cookie_burr" / "v1.yaml")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1
    assert runs.pop().count(b"\n") > 10


def test_the_oracle_imports_nothing_of_the_mesh() -> None:
    code = "import sys, meshproof.oracle.derive; print([m for m in sys.modules if '.mesh' in m])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
