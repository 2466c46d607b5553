"""What is known of each host, for whoever serves the rules."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.inventory import INVENTORY_KINDS, Inventory
from meshproof.inventory.known_hosts import KnownHosts, list_known_hosts
from meshproof.inventory.workloads import WORKLOAD_KINDS
from meshproof.inventory.world import World
from meshproof.rules.known_hosts import read_known_hosts
from tests.manifest_text import write_head

SHOP = "shop.default.svc.cluster.local"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, name: http, targetPort: web}]}
---
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}
---
"""
WORKLOAD = """\
apiVersion: apps/v1
kind: KIND
metadata: {name: shop-v1}
spec: {template: {metadata: {labels: {app: shop, version: v1}}}}
---
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop-v1, labels: {app: shop, version: v1}}
spec: {containers: []}
---
"""
SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: all}, {name: v1, labels: {version: v1}}]}
---
"""


def read(text: str) -> KnownHosts:
    """Return what rules and inventory say of each host, as `meshproof test --rules` reads it."""
    documents = manifest.parse(text, "r.yaml")
    rule_documents = [document for document in documents if document.kind not in INVENTORY_KINDS]
    return read_known_hosts(documents, rules.read_rules(rule_documents))


@pytest.mark.parametrize("kind", WORKLOAD_KINDS)
def test_whatever_has_pods_is_a_workload(kind: str) -> None:
    workload = POD if kind == "Pod" else WORKLOAD.replace("KIND", kind)
    hosts = read(SERVICE + workload + RULE)
    assert hosts.workloads[SHOP] == ((("app", "shop"), ("version", "v1")),)


@pytest.mark.parametrize(
    "spec", ["{type: ExternalName, externalName: a.example}", "{clusterIP: None}"]
)
def test_a_service_that_needs_no_ports(spec: str) -> None:
    text = write_head("Service", "shop") + f"spec: {spec}\n---\n"
    assert read(text + RULE).ports == {SHOP: ()}


def test_a_service_that_lacks_its_ports() -> None:
    text = SERVICE.replace("ports: [", "prots: [")
    with pytest.raises(BadRules, match=r":4:31: spec: 'ports' is missing; is 'prots' a miss"):
        read(text + RULE)


def test_a_subset_without_labels() -> None:
    assert read(SUBSETS + RULE).subsets == {SHOP: ((), (("version", "v1"),))}


def test_all_problems_are_collected_and_the_rest_is_used() -> None:
    text = SERVICE.replace("[{port: 80", "[{port: none}, {port: 70000}, {port: 80")
    text += WORKLOAD.replace("KIND", "Deployment").replace("version: v1", "version: 1")
    text += SUBSETS + POD.replace("name: shop-v1, ", "")
    inventory = Inventory(manifest.parse(text, "r.yaml"))
    assert [str(problem) for problem in inventory.host_problems] == [
        "r.yaml:18:11: metadata: 'name' is missing",
        "r.yaml:4:46: spec.ports[0].port: expected a whole number from 1 to 65535, found 'none'",
        "r.yaml:4:60: spec.ports[1].port: expected a whole number from 1 to 65535, found 70000",
        "r.yaml:9:59: spec.template.metadata.labels.version: expected text, found 1",
    ]
    (service,) = inventory.all_services
    assert [port.number for port in service.ports] == [80]
    assert service.selector == (("app", "shop"),)
    assert [subset.name for subset in inventory.destination_rules[0].subsets] == ["all", "v1"]
    with pytest.raises(BadRules, match=r":18:11: metadata: 'name' is missing"):
        list_known_hosts(inventory, World())


OF_A_PORT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: any}
spec:
  hosts: [HOST]
  gateways: GATEWAYS
  http: [{match: [{port: 8080}], route: [{destination: {host: shop}}]}]
"""


@pytest.mark.parametrize(
    ("gateways", "ports"), [("[edge]", None), ("[edge, mesh]", (8080,)), ("[mesh]", (8080,))]
)
def test_the_port_of_a_match_is_that_of_a_host_in_the_mesh_alone(
    gateways: str, ports: tuple[int, ...] | None
) -> None:
    # Found by seed 351477059, sets 20 and 65: the sidecars had a host that istiod has at the
    # gateway alone; for the host * Envoy refused their routes (there is one for other hosts).
    text = OF_A_PORT.replace("HOST", "a.example").replace("GATEWAYS", gateways)
    assert read(text).ports.get("a.example") == ports
