"""Config of the local mesh that a real istiod makes otherwise."""

from __future__ import annotations

import pytest
import yaml

from meshproof.mesh.envoy.translate import translate_clusters
from tests.differential.comparing import read_set
from tests.differential.generator import GeneratedSet
from tests.differential.meshes import translate_routes
from tests.mesh.envoy.translating import IDENTITY, snapshot


def test_many_retries_are_under_way_at_once() -> None:
    # istiod: core/cluster_traffic_policy.go, getDefaultCircuitBreakerThresholds.
    for cluster in translate_clusters(snapshot(), IDENTITY):
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert limits["max_retries"] == limits["max_requests"] == 2**32 - 1, cluster["name"]


BY_NAME = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a-rule, namespace: web}}
spec:
  hosts: {}
  http:
  - match: [{{uri: {{prefix: /a}}}}]
    route: [{{destination: {{host: news.web.svc.cluster.local}}}}]
{}"""
NOWHERE = "pay.web.svc.cluster.local"
IN_SHOP = "pay.shop.svc.cluster.local"


def list_domains(hosts: str, more: str = "") -> list[set[str]]:
    """Return the domains of virtual hosts that each caller of the world has under a rule."""
    rules = read_set(GeneratedSet((yaml.safe_load(BY_NAME.format(hosts, more)),), ()))
    assert rules is not None
    return [
        {domain for host in config["virtual_hosts"] for domain in host["domains"]}
        for config in translate_routes(rules)
    ]


def test_a_host_without_a_service_is_served_by_its_full_name_at_port_80() -> None:
    # Found by seed 351477059, sets 239 and 1031. istiod: core/httproute.go,
    # BuildSidecarOutboundVirtualHosts, buildVirtualHost (no service: no other names).
    for domains in list_domains("[pay]"):
        assert {domain for domain in domains if domain.startswith("pay.web")} == {
            NOWHERE,
            f"{NOWHERE}:80",
        }
        assert "pay" not in domains or "pay.shop" in domains


def test_a_host_without_a_service_is_nothing_to_callers_that_do_not_get_its_rule() -> None:
    for number, domains in enumerate(list_domains("[pay]", "  exportTo: [.]\n")):
        assert (NOWHERE in domains) is (number == 4)  # the caller of namespace web


@pytest.mark.parametrize("host", [NOWHERE, IN_SHOP])
def test_a_rule_serves_a_name_where_another_of_its_hosts_has_the_port(host: str) -> None:
    # Set 239: news has port 8080, pay of shop has not. istiod: selectVirtualServices and
    # separateVSHostsAndServices.
    for domains in list_domains(f"[{host}, news]"):
        assert f"{host}:8080" in domains
        assert "pay.shop:8080" not in domains
