"""Every way in to the lab's ingress answers, and the report says which one was taken and why."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.ingress.address import IngressAddress, open_ingress
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.protocol import Address, ClusterOptions
from tests.lab.commands import kubectl, list_leftovers, meshproof, snapshot

NAMESPACE = "istio-system"


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with Kube.connected(ClusterOptions(), tmp_path_factory.mktemp("kube")) as kube:
        yield kube


@pytest.fixture
def front(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A Service of the test's own in front of the ingress gateway; it goes with the test."""
    kind, target = request.param
    name = f"meshproof-test-{kind.lower()}"
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "type": kind,
            "selector": {"istio": "ingressgateway"},
            "ports": [{"port": 80, "targetPort": target}],
        },
    }
    kubectl("apply", "-f", "-", text=json.dumps(body))
    try:
        service_body: dict[str, Any] = json.loads(
            kubectl("get", "service", name, "-n", NAMESPACE, "-o", "json")
        )
        yield service_body
    finally:
        kubectl("delete", "service", name, "-n", NAMESPACE)


def name_of(service: dict[str, Any]) -> str:
    return str(service["metadata"]["name"])


def answer(address: Address, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": address.authority})
        response = connection.getresponse()
        return response.status, response.read().decode()


def open_address(
    kube: Kube, service: dict[str, Any], host: str
) -> contextlib.AbstractContextManager[IngressAddress]:
    return open_ingress(kube, NAMESPACE, name_of(service), "", host)


def test_the_node_port_is_taken_where_no_load_balancer_gives_an_address(shop: ClusterMesh) -> None:
    address = shop.address("ingress")
    assert f"way in: NodePort ({address.url}); LoadBalancer is pending" in shop.notes
    assert answer(address, "/orders")[0] == 200
    assert answer(Address(address.host, address.port, "other.test"), "/orders")[0] == 404


@pytest.mark.parametrize("front", [("ClusterIP", 8080)], indirect=True)
def test_a_cluster_ip_is_reached_by_port_forward(
    shop: ClusterMesh, kube: Kube, front: dict[str, Any]
) -> None:
    with open_address(kube, front, shop.address("ingress").authority) as ingress:
        assert ingress.description.startswith("port-forward to istio-ingressgateway-")
        assert ingress.description.endswith("; it is a ClusterIP")
        for _ in range(3):
            assert answer(ingress.address, "/orders")[0] == 200


@pytest.mark.parametrize("front", [("ClusterIP", "http-envoy-prom")], indirect=True)
def test_a_port_by_name_is_looked_up_in_the_pod(kube: Kube, front: dict[str, Any]) -> None:
    with open_address(kube, front, "any.test") as ingress:
        status, text = answer(ingress.address, "/stats/prometheus")
    assert status == 200
    assert "envoy_server_live" in text


@pytest.mark.parametrize("front", [("NodePort", 8080)], indirect=True)
def test_a_blocked_node_port_leaves_the_port_forward_and_is_said(
    shop: ClusterMesh, kube: Kube, front: dict[str, Any]
) -> None:
    shared = shop.address("ingress")
    host = shared.authority
    port = int(front["spec"]["ports"][0]["nodePort"])
    wait_for(lambda: opened(shared.host, port), 20, lambda: "kube-proxy is late", 0.2)
    with open_address(kube, front, host) as ingress:
        assert ingress.description.startswith(f"NodePort (http://{shared.host}:{port})")
        assert answer(ingress.address, "/orders")[0] == 200
    with blocked(port), open_address(kube, front, host) as ingress:
        assert ingress.description.startswith("port-forward to istio-ingressgateway-")
        assert f":{port}) cannot be reached: timed out" in ingress.description
        assert answer(ingress.address, "/orders")[0] == 200


def opened(host: str, port: int) -> bool | None:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2):
        return True
    return None


@contextlib.contextmanager
def blocked(port: int) -> Iterator[None]:
    """Drop what is sent to a TCP port, before the cluster's own rules see it."""
    table = f"meshproof_test_{port}"
    rules = (
        f"table inet {table} {{ chain out {{ type filter hook output priority -300; "
        f"tcp dport {port} drop; }}; }}\n"
    )
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True, timeout=20)


def test_a_gateway_of_gateway_api_is_a_way_in(tmp_path: Path) -> None:
    before = snapshot()
    ended = meshproof(
        *("test", "--mesh", "cluster", "--mesh-way-in", "gateway-api"),
        *("-k", "productpage or v3_only or control_plane"),
        folder=tmp_path,
    )
    assert ended.code == 0, ended.output
    assert ended.outcomes("VirtualService") == {"v3 only": "passed"}
    assert ended.outcomes("")["productpage"] == "passed"
    (ingress_note,) = [note for note in ended.run.notes if note.startswith("way in: ")]
    shared = kubectl(
        *("get", "service", "istio-ingressgateway", "-n", NAMESPACE),
        *("-o", "jsonpath={.spec.ports[?(@.port==80)].nodePort}"),
    )
    assert ingress_note.startswith("way in: NodePort (http://")
    assert f":{shared})" not in ingress_note, "it must be the Gateway's own proxy"
    assert (snapshot(), list_leftovers(ended)) == (before, [])
