"""A subset without a DestinationRule for the caller has no cluster: its route leads nowhere."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy import translate
from tests.mesh.envoy.translating import IDENTITY, read_destinations, snapshot, translate_port

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
"""
GATEWAY = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [reviews.example]}]
"""
FULL = "reviews.default.svc.cluster.local"


def define(
    namespace: str, subset: str = "v1", host: str = FULL, export: str = "*", version: str = ""
) -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {subset}, namespace: {namespace}}}
spec:
  host: "{host}"
  exportTo: ["{export}"]
  subsets: [{{name: {subset}, labels: {{version: {version or subset}}}}}]
"""


#: Definitions -> whether callers of default and of shop, and a gateway, have the subset.
HELD = {
    (define("default"),): (True, True, True),
    (define("shop"),): (False, True, False),
    (define("istio-system"),): (True, True, True),
    (define("default"), define("shop", "v2")): (True, False, True),
    (define("istio-system"), define("default", "v2")): (False, False, False),
    (define("shop"), define("default", export=".")): (True, True, False),
    (define("default", export="shop"), define("shop", "v2")): (False, False, False),
    (define("istio-system", export="."), define("shop", "v2")): (False, False, True),
    (define("default", host="*.local"),): (True, True, True),
    (define("default", host="*.local"), define("default", "v2")): (False, False, False),
}


def has_cluster(mesh: translate.Snapshot, name: object) -> bool:
    return name in {made["name"] for made in translate.translate_clusters(mesh, IDENTITY)}


@pytest.mark.parametrize("definitions", HELD)
def test_only_callers_with_the_rule_have_the_cluster(definitions: tuple[str, ...]) -> None:
    text = RULE + "".join(definitions)
    mesh = snapshot(text)
    held = [
        has_cluster(mesh, destination)
        for caller in ("page-v1-0", "orders-v1-0")
        for destination in read_destinations(text, host=FULL, caller=caller)
    ]
    gateway_text = text.replace("hosts: [reviews]", "hosts: [reviews.example]\n  gateways: [gw]")
    gateway_mesh = snapshot(gateway_text + GATEWAY)
    (host,) = translate_port(gateway_mesh, 80)["virtual_hosts"]
    held.append(has_cluster(gateway_mesh, host["routes"][0]["route"]["cluster"]))
    assert tuple(held) == HELD[definitions]


@pytest.mark.parametrize(
    ("definitions", "versions"),
    [
        (("default v1", "shop v2"), "v1 v2"),
        (("default v1", "bank v2"), "v1 v1"),
        (("default v1", "istio-system v2"), "v1 v1"),
        (("istio-system v3", "shop v2"), "v3 v2"),
    ],
)
def test_a_proxy_takes_the_labels_of_its_own_rule(
    definitions: tuple[str, ...], versions: str
) -> None:
    rules = [
        define(namespace, version=version) for namespace, version in map(str.split, definitions)
    ]
    text = RULE + "".join(rules)
    mesh = snapshot(text)
    for caller, version in zip(("page-v1-0", "orders-v1-0"), versions.split(), strict=True):
        (destination,) = read_destinations(text, host=FULL, caller=caller)
        assert destination == f"outbound|80|{version}|{FULL}"
        assert has_cluster(mesh, destination)
