"""Live objects that are beyond meshproof are set aside by name; what is left is checked."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.user_rules import loading
from meshproof.user_rules.loading import UserRules
from tests.manifest_text import write_head
from tests.user_rules.live_objects import ISTIO, SHOP, SUBSETS, Cluster, service, split, stored

API = "gateway.networking.k8s.io/v1"
CART = [{"destination": {"host": "cart"}}]


def virtual_service(name: str, **spec: Any) -> dict[str, Any]:
    return stored(ISTIO, "VirtualService", name, {"hosts": [name], **spec})


def gateway(name: str, **server: Any) -> dict[str, Any]:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": ["*"], **server}]
    spec = {"selector": {"istio": "ingressgateway"}, "servers": servers}
    return stored(ISTIO, "Gateway", name, spec)


def http_route(name: str, parent: dict[str, str], **rule: Any) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": "cart", "port": 80}], **rule}]
    return stored(API, "HTTPRoute", name, {"parentRefs": [parent], "rules": rules})


def of_service(name: str, **more: str) -> dict[str, str]:
    return {"group": "", "kind": "Service", "name": name, **more}


PART = {**virtual_service("part"), "spec": {"http": [{"route": CART}]}}
#: A rule that delegates, with another route that is beyond meshproof.
WEB_WITH_PART = virtual_service(
    "web",
    http=[
        {"match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "part"}},
        {"route": CART, "fault": {"delay": {"exponentialDelay": "1s"}}},
    ],
)
TLS = gateway("in", bind="10.0.0.1")
#: Objects beside a good rule of the cart -> what is set aside, in order, with why.
BEYOND: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
    "tcp": (
        [virtual_service("db", tcp=[{"route": CART}])],
        [("VirtualService shop/db", "spec.tcp is not supported yet")],
    ),
    "an address of a Gateway of a rule for sidecars, too": (
        [TLS, virtual_service("web", gateways=["mesh", "in"], http=[{"route": CART}])],
        [
            ("Gateway shop/in", "spec.servers[0].bind is not supported yet"),
            ("VirtualService shop/web at Gateway shop/in", "Gateway shop/in is not checked"),
        ],
    ),
    "a Gateway of another namespace": (
        [virtual_service("web", gateways=["edge/public"], http=[{"route": CART}])],
        [("VirtualService shop/web at Gateway edge/public", "namespace edge is not among")],
    ),
    "routes for such a Gateway": (
        [
            virtual_service(
                "web",
                gateways=["mesh", "edge/public"],
                http=[{"match": [{"gateways": ["edge/public"]}], "route": CART}, {"route": CART}],
            )
        ],
        [("VirtualService shop/web at Gateway edge/public", "namespace edge is not among")],
    ),
    "two rules of one host": (
        [
            virtual_service("web", http=[{"match": [{"uri": {"prefix": "/a"}}], "route": CART}]),
            {
                **virtual_service("more", tls=[{"route": CART}]),
                "spec": {"hosts": ["web"], "tls": [{"route": CART}]},
            },
        ],
        [
            ("VirtualService shop/more", "spec.tls is not supported yet"),
            ("VirtualService shop/web", "it does not hold without VirtualService shop/more"),
        ],
    ),
    "subsets of a DestinationRule": (
        [
            stored(
                ISTIO,
                "DestinationRule",
                "web",
                {"host": "web", "workloadSelector": {"matchLabels": {"a": "b"}}, "subsets": []},
            ),
            virtual_service(
                "web", http=[{"route": [{"destination": {"host": "web", "subset": "v1"}}]}]
            ),
        ],
        [
            ("DestinationRule shop/web", "spec.workloadSelector is not supported yet"),
            ("VirtualService shop/web", "it does not hold without DestinationRule shop/web"),
        ],
    ),
    "subsets of another namespace": (
        [
            virtual_service(
                "web", http=[{"route": [{"destination": {"host": "db.data", "subset": "v1"}}]}]
            )
        ],
        [("VirtualService shop/web", "subset 'v1' of db.data")],
    ),
    "a delegate": (
        [
            virtual_service("web", http=[{"delegate": {"name": "part"}}]),
            {
                **virtual_service("part"),
                "spec": {"http": [{"route": CART, "fault": {"delay": {"exponentialDelay": "1s"}}}]},
            },
        ],
        [
            ("VirtualService shop/part", "exponentialDelay is not supported yet"),
            ("VirtualService shop/web", "it does not hold without VirtualService shop/part"),
        ],
    ),
    "a rule, and with it the delegate that it alone has": (
        [WEB_WITH_PART, PART],
        [
            ("VirtualService shop/web", "exponentialDelay is not supported yet"),
            ("VirtualService shop/part", "it does not hold without VirtualService shop/web"),
        ],
    ),
    "a rule, but not the delegate that another one has, too": (
        [WEB_WITH_PART, PART, virtual_service("api", http=[{"delegate": {"name": "part"}}])],
        [("VirtualService shop/web", "exponentialDelay is not supported yet")],
    ),
    "a delegate of another namespace": (
        [virtual_service("web", http=[{"delegate": {"name": "part", "namespace": "other"}}])],
        [("VirtualService shop/web", "there is no VirtualService other/part")],
    ),
    "a host outside": (
        [virtual_service("api", http=[{"route": [{"destination": {"host": "api.example.net"}}]}])],
        [("VirtualService shop/api", "api.example.net: only services of the cluster")],
    ),
    "a Gateway of Gateway API of somebody else": (
        [
            stored(API, "Gateway", "nginx", {"gatewayClassName": "nginx", "listeners": []}),
            http_route("web", {"name": "nginx"}),
        ],
        [
            ("Gateway shop/nginx", "only 'istio' is supported"),
            ("HTTPRoute shop/web", "it does not hold without Gateway shop/nginx"),
        ],
    ),
    "a Gateway of Gateway API elsewhere": (
        [http_route("web", {"name": "public", "namespace": "edge"})],
        [("HTTPRoute shop/web", "there is no Gateway edge/public")],
    ),
    "routes of one Service": (
        [
            service("web"),
            http_route("one", of_service("web", sectionName="http")),
            http_route("two", of_service("web")),
        ],
        [
            ("HTTPRoute shop/one", "of a Service it is not supported yet"),
            ("HTTPRoute shop/two", "it does not hold without HTTPRoute shop/one"),
        ],
    ),
}


def loaded(cluster: Cluster, *more: dict[str, Any]) -> UserRules:
    cluster.objects = (*SHOP, *more)
    return loading.load(["cluster:shop"])


@pytest.mark.parametrize("name", BEYOND)
def test_it_is_set_aside_with_what_does_not_hold_without_it(name: str, cluster: Cluster) -> None:
    objects, expected = BEYOND[name]
    found = loaded(cluster, *objects)
    assert [one.name for one in found.excluded] == [name for name, _ in expected]
    for one, (_, because) in zip(found.excluded, expected, strict=True):
        assert because in one.because
        assert one.at.file.startswith("cluster:lab/shop ")
    cases = [case for case in found.plan.cases if case.call.host.startswith("cart.")]
    assert cases, "the good rule is not checked any more"
    gone = {name for name, _ in expected}
    left = {f"VirtualService shop/{table.name}" for table in found.rules.tables}
    assert not gone & left


def test_what_holds_in_sidecars_is_still_checked(cluster: Cluster) -> None:
    objects, _ = BEYOND["routes for such a Gateway"]
    found = loaded(cluster, *objects)
    cases = [case for case in found.plan.cases if case.call.host.startswith("web.")]
    assert cases
    assert {case.call.gateway for case in cases} == {"mesh"}
    (table,) = [one for one in found.rules.tables if one.name == "web"]
    assert (table.gateways, len(table.routes)) == (("mesh",), 1)
    (document,) = [one for one in found.rules.documents if one.name == "web"]
    spec = document.spec.to_python()
    assert (spec["gateways"], len(spec["http"])) == (["mesh"], 1)


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([split(v1=50, v9=50)], "subset 'v9' of cart.shop.svc.cluster.local is not defined"),
        (
            [virtual_service("web", gateways=["none"], http=[{"route": CART}])],
            "there is no Gateway shop/none",
        ),
        (
            [virtual_service("web", http=[{"delegate": {"name": "none"}}])],
            "there is no VirtualService shop/none",
        ),
    ],
    ids=["subset", "gateway", "delegate"],
)
def test_a_rule_that_is_wrong_stays_an_error(
    objects: list[dict[str, Any]], said: str, cluster: Cluster
) -> None:
    cluster.objects = (service("cart"), SUBSETS, TLS, *objects)
    excluded = loading.load(["cluster:shop"]).excluded
    (wrong,) = [entry for entry in excluded if entry.is_wrong]
    assert said in wrong.because
    assert wrong.exit_code == 1
    beyond = [entry.name for entry in excluded if not entry.is_wrong]
    assert beyond == ["Gateway shop/in"], "one of them hides the other"


def test_where_all_is_set_aside_nothing_is_proven(cluster: Cluster) -> None:
    cluster.objects = (service("db"), virtual_service("db", tcp=[{"route": CART}]))
    found = loading.load(["cluster:shop"])
    assert (found.plan.cases, len(found.excluded)) == ((), 1)


def test_in_a_file_it_is_not_supported_either(tmp_path: Any) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(write_head("VirtualService", "db") + "spec: {hosts: [db], tcp: []}\n")
    (entry,) = loading.load([str(file)]).excluded
    assert (entry.at.line, entry.because, entry.field) == (
        4,
        "spec.tcp is not supported yet",
        "spec.tcp",
    )
    assert entry.exit_code == 3
