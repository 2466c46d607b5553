"""Targets: services, ports and subsets are found, or refused with the place of the rule."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.mesh.envoy import translate
from tests.manifest_text import write_head
from tests.mesh.envoy.translating import IDENTITY, cluster, read_destinations, routes, snapshot

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [HOST]
  http: [{route: [{destination: DESTINATION}]}]
"""


def rule(destination: str, host: str = "reviews") -> str:
    return TEXT.replace("HOST", host).replace("DESTINATION", destination)


@pytest.mark.parametrize(
    ("destination", "target_cluster"),
    [
        ("{host: ratings, port: {number: 8080}}", cluster("", "ratings", 8080)),
        ("{host: many}", cluster("", "many", 80)),
        ("{host: many, port: {number: 81}}", cluster("", "many", 81)),
        ("{host: orders.shop.svc.cluster.local}", cluster("", "orders", namespace="shop")),
    ],
    ids=["said", "the asked one", "another", "other namespace"],
)
def test_the_port_of_a_target(destination: str, target_cluster: str) -> None:
    assert read_destinations(rule(destination)) == [target_cluster]


REFUSED = {
    "service": (
        rule("{host: reviewz}"),
        "6:19: there is no service reviewz.default.svc.cluster.local; "
        "did you mean 'reviews.default.svc.cluster.local'?",
    ),
    "service of another namespace": (
        rule("{host: orders}"),
        "6:19: there is no service orders.default.svc.cluster.local; "
        "did you mean 'orders.shop.svc.cluster.local'?",
    ),
    "half a name": (
        rule("{host: reviews.default}"),
        "6:19: there is no service reviews.default; did you mean "
        "'reviews.default.svc.cluster.local'?",
    ),
    "port": (
        rule("{host: many, port: {number: 8080}}"),
        "6:19: many has no port 8080; it has: 80, 81",
    ),
    "port of the only one": (
        rule("{host: ratings, port: {number: 80}}"),
        "6:19: ratings has no port 80; it has: 8080",
    ),
    "one of several ports must be said": (
        rule("{host: many}", host="ratings"),
        "6:19: many has no port 8080; it has: 80, 81 "
        "(where no `port` is said, it is the one that was called)",
    ),
    "so must the only one, if it is another": (
        rule("{host: ratings}"),
        "6:19: ratings has no port 80; it has: 8080 "
        "(where no `port` is said, it is the one that was called)",
    ),
    "host of the rule": (
        rule("{host: reviews}", host="reviewz"),
        "1:1: there is no service reviewz.default.svc.cluster.local; "
        "did you mean 'reviews.default.svc.cluster.local'?",
    ),
    "every host": (rule("{host: reviews}", host="'*'"), "1:1: there is no service *"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        routes(text)
    assert str(error.value) == f"r.yaml:{message}"


def test_a_route_rule_to_nowhere_is_told_too() -> None:
    text = (
        write_head("RouteRule", "a")
        + "spec: {destination: {name: revews}, route: [{labels: {version: v1}}]}\n"
    )
    with pytest.raises(
        BadRules, match=r"^r\.yaml:1:1: there is no service revews\.default.*reviews"
    ):
        routes(text)


def ports(name: str, text: str) -> list[int]:
    clusters = {
        config["name"]: config for config in translate.translate_clusters(snapshot(text), IDENTITY)
    }
    (endpoints,) = clusters[name]["load_assignment"]["endpoints"]
    return [
        config["endpoint"]["address"]["socket_address"]["port_value"]
        for config in endpoints["lb_endpoints"]
    ]


SUBSET = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: a, labels: {version: VERSION}}]}
"""


def test_a_cluster_holds_the_pods_of_its_subset() -> None:
    text = rule("{host: reviews, subset: a}") + SUBSET.replace("VERSION", "v2")
    assert ports(cluster(""), text) == [15001, 15002, 15003]
    assert ports(cluster("v2"), text) == [15002]


def test_a_subset_that_selects_no_pod_is_an_empty_cluster() -> None:
    text = rule("{host: reviews, subset: a}") + SUBSET.replace("VERSION", "v9")
    assert ports(cluster("v9"), text) == []


def test_clusters_are_there_for_every_port_and_for_named_subsets_only() -> None:
    text = rule("{host: reviews, subset: a}") + SUBSET.replace("VERSION", "v2")
    assert [
        config["name"] for config in translate.translate_clusters(snapshot(text), IDENTITY)
    ] == [
        cluster(""),
        cluster("v2"),
        cluster("", "ratings", 8080),
        cluster("", "page"),
        cluster("", "many", 80),
        cluster("", "many", 81),
        cluster("", "orders", namespace="shop"),
    ]
