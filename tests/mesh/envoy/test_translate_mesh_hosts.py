"""Which table a service of the mesh has: of a wildcard, of its name, or of a name it shares."""

from __future__ import annotations

from meshproof.documents.manifest import At
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.topology import Service, Topology
from tests.mesh.envoy.translating import cluster, pod, read_destinations, ruleset, snapshot


def rule(name: str, host: str, to: str, match: str = "") -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ["{host}"]
  http:
  - route: [{{destination: {{host: {to}, port: {{number: 80}}}}}}]
{match}"""


ALL = rule("all", "*.default.svc.cluster.local", "many")
WIDE = rule("a-wide", "*.cluster.local", "page")
BETA = "    match: [{sourceLabels: {app: beta}}]\n"


def test_a_wildcard_holds_for_the_services_below_it() -> None:
    assert read_destinations(ALL) == [cluster("", "many")]


def test_the_narrowest_wildcard_holds() -> None:
    assert read_destinations(WIDE + ALL) == [cluster("", "many")]


def test_a_rule_for_the_service_holds_even_without_a_route_for_the_caller() -> None:
    assert read_destinations(ALL + rule("own", "reviews", "page")) == [cluster("", "page")]
    assert read_destinations(ALL + rule("own", "reviews", "page", BETA)) == [cluster("")]


def test_only_the_first_rule_of_a_wildcard_holds() -> None:
    hidden = rule("aa", "*.default.svc.cluster.local", "page", BETA)
    assert read_destinations(hidden + ALL) == [cluster("")]


def test_a_name_of_two_hosts_belongs_to_the_one_with_a_rule() -> None:
    text = rule("short", "reviews.default", "page")
    plain = snapshot("")
    outside = Service("reviews.default", "outside", (), {80: 80}, At("r", 1), is_external=True)
    topology = Topology((*plain.topology.services, outside), plain.topology.pods)
    mesh = translate.Snapshot(topology, ruleset(text), plain.endpoints)
    config = translate.translate_sidecar_routes(mesh, pod(mesh))
    owners = {
        domain: host["name"] for host in config["virtual_hosts"] for domain in host["domains"]
    }
    assert owners["reviews.default"] == "reviews.default:80"
    assert owners["reviews.default.svc"] == "reviews.default.svc.cluster.local:80"
    domains = [domain for host in config["virtual_hosts"] for domain in host["domains"]]
    assert len(domains) == len(set(domains))
