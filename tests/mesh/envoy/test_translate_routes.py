"""Routes of a sidecar: one for each match, in order, with the weights that are written."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.mesh.envoy import translate
from tests.manifest_text import write_head
from tests.mesh.envoy.translating import cluster, pod, read_destinations, routes, snapshot

SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
"""
HEAD = write_head("VirtualService", "reviews")
BURR = """\
spec:
  hosts: [reviews]
  http:
  - name: burr
    match: [{headers: {user: {exact: burr}}}, {uri: {prefix: /burr}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - route: [{destination: {host: reviews, subset: v1}, weight: 75},
            {destination: {host: reviews, subset: v2}, weight: 25}]
"""
OLD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: NAME}
spec:
  destination: {name: reviews}
  precedence: PRECEDENCE
  match: {request: {headers: {user: {exact: NAME}}}}
  route: [{labels: {version: VERSION}}]
"""


def old(name: str, precedence: int, version: str) -> str:
    text = OLD.replace("NAME", name).replace("PRECEDENCE", str(precedence))
    return text.replace("VERSION", version)


def test_without_rules_every_version_is_reached() -> None:
    (route,) = routes("")
    assert route["match"] == {"prefix": "/"}
    assert read_destinations("") == [cluster("")]


def test_each_match_is_a_route_in_the_order_of_the_routes() -> None:
    assert read_destinations(SUBSETS + HEAD + BURR) == [
        cluster("v3"),
        cluster("v3"),
        {cluster("v1"): 75, cluster("v2"): 25},
    ]
    assert [route["match"] for route in routes(SUBSETS + HEAD + BURR)] == [
        {
            "prefix": "/",
            "headers": [{"name": "user", "string_match": {"exact": "burr"}}],
        },
        {"prefix": "/burr"},
        {"prefix": "/"},
    ]


def test_a_route_is_named_by_its_rule_and_route() -> None:
    names = [route["name"] for route in routes(SUBSETS + HEAD + BURR)]
    assert names == ["reviews.burr", "reviews.burr", "reviews"]
    assert [route["name"] for route in routes("")] == ["default"]


def test_a_weight_of_0_stays_in_the_split() -> None:
    text = SUBSETS + HEAD + BURR.replace("75", "100").replace("25", "0")
    assert read_destinations(text)[-1] == {cluster("v1"): 100, cluster("v2"): 0}


def test_what_no_virtual_service_matches_gets_no_route() -> None:
    text = SUBSETS + HEAD + BURR.partition("  - route")[0]
    assert read_destinations(text) == [cluster("v3"), cluster("v3")]


def test_what_no_route_rule_matches_goes_to_all_versions() -> None:
    text = old("low", 1, "v1") + "---\n" + old("high", 2, "v2")
    assert read_destinations(text) == [cluster("v2"), cluster("v1"), cluster("")]


def test_other_services_and_names_are_not_touched() -> None:
    mesh = snapshot(SUBSETS + HEAD + BURR)
    config = translate.translate_sidecar_routes(mesh, pod(mesh))
    by_name = {host["name"]: host for host in config["virtual_hosts"]}
    assert by_name["reviews.default.svc.cluster.local:80"]["domains"] == [
        *("reviews:80", "reviews.default:80", "reviews.default.svc:80"),
        "reviews.default.svc.cluster.local:80",
        *("reviews", "reviews.default", "reviews.default.svc"),
        "reviews.default.svc.cluster.local",
    ]
    assert by_name["ratings.default.svc.cluster.local:8080"]["domains"][0] == "ratings:8080"
    assert by_name["orders.shop.svc.cluster.local:80"]["domains"][0] == "orders.shop:80"
    assert read_destinations(SUBSETS + HEAD + BURR, "ratings", port=8080) == [
        cluster("", "ratings", 8080)
    ]


def test_what_is_no_service_of_the_mesh_is_refused_by_the_sidecar() -> None:
    mesh = snapshot()
    last = translate.translate_sidecar_routes(mesh, pod(mesh))["virtual_hosts"][-1]
    assert last["domains"] == ["*"]
    assert last["routes"][0]["direct_response"] == {"status": 502}


@pytest.mark.parametrize(
    ("labels", "caller", "reached"),
    [
        ("{app: page}", "page-v1-0", True),
        ("{app: page, version: v1}", "page-v1-0", True),
        ("{app: page, version: v2}", "page-v1-0", False),
        ("{app: page}", "ratings-v1-0", False),
    ],
)
def test_source_labels_choose_the_callers(labels: str, caller: str, reached: bool) -> None:
    virtual_service = (
        SUBSETS + HEAD + BURR.replace("{uri: {prefix: /burr}}", f"{{sourceLabels: {labels}}}")
    )
    assert len(read_destinations(virtual_service, caller=caller)) == (3 if reached else 2)
    route_rule = old("burr", 1, "v3").replace(
        "match: {", f"match: {{source: {{labels: {labels}}}, "
    )
    assert len(read_destinations(route_rule, caller=caller)) == (2 if reached else 1)


def test_a_second_rule_for_a_host_is_refused() -> None:
    text = SUBSETS + HEAD + BURR + "---\n" + old("burr", 1, "v3")
    with pytest.raises(BadRules) as error:
        routes(text)
    assert str(error.value) == (
        "r.yaml:23:1: a second rule for reviews.default.svc.cluster.local, which has one at "
        "r.yaml:11; which routes come first is not specified"
    )
