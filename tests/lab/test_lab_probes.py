"""The probe pod on a real cluster: rules from inside, plaintext, a restricted namespace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meshproof import manifests, rules
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.mesh.protocol import Address, ClusterOptions
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from meshproof.verdict import Outcome, Verdict, judge
from tests.certain import CERTAIN
from tests.lab.commands import kubectl

HALF = {"v1": 50.0, "v2": 50.0}


def judged(mesh: ClusterMesh, weights: dict[str, float], by: str = "orders") -> Verdict:
    """Judge orders from a client inside the mesh against weights."""
    address, client = mesh.find_inside_client("orders.sock-shop")
    versions = {pod.name: pod.version for pod in mesh.replicas()}
    attribution = Attribution(versions, mesh.start_counters)
    sample = Visits(
        address,
        [HttpRequest("/orders")],
        "lab",
        Sampling(batch=50),
        attribution=attribution,
        sender=client,
    )
    return judge(sample.label_by_app(by), weights, CERTAIN)


def test_a_split_is_judged_from_inside(shop: ClusterMesh) -> None:
    with shop.applied(rules.read_rules(manifests.rules("split_half", "v1"))):
        half = judged(shop, HALF)
        assert half.holds, half
        wrong = judged(shop, {"v1": 70, "v2": 30})
        assert wrong.outcome is Outcome.FAILED, wrong
        counted = judged(shop, HALF, by="counters:orders.sock-shop")
        assert counted.holds, counted
        wrong = judged(shop, {"v1": 70, "v2": 30}, by="counters:orders.sock-shop")
        assert wrong.outcome is Outcome.FAILED, wrong
        address, client = shop.find_inside_client("orders.sock-shop")
        command = client.describe_command(HttpRequest("/orders").build_curl(address)).split()
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.startswith("HTTP/1.1 200\n")


def test_probes_are_no_pods_of_the_mesh(shop: ClusterMesh) -> None:
    shop.find_inside_client("orders.sock-shop")
    assert {pod.app for pod in shop.replicas()} == {"front-end", "orders"}


def test_plaintext_is_answered_until_a_policy_refuses_it(shop: ClusterMesh) -> None:
    pods = [pod.name for pod in shop.replicas()]
    assert all(shop.probe_plaintext(pod) for pod in pods)
    with shop.applied(rules.read_rules(manifests.rules("mtls_strict", "v1"))):
        assert [shop.probe_plaintext(pod) for pod in pods] == [None] * len(pods)
        assert judged(shop, {"v1": 1, "v2": 1}).n > 0, "the mesh itself goes on"
    assert all(shop.probe_plaintext(pod) for pod in pods)


def test_a_restricted_namespace_takes_a_probe_without_a_sidecar(
    shop: ClusterMesh, tmp_path: Path
) -> None:
    name = f"meshproof-{shop.labels['meshproof/run']}-restricted"
    kubectl("create", "namespace", name)
    kubectl(
        *("label", "namespace", name, "istio-injection=enabled"),
        *(f"{key}={value}" for key, value in shop.labels.items()),
        "pod-security.kubernetes.io/enforce=restricted",
    )
    with Kube.connected(ClusterOptions(), tmp_path) as kube:
        probe = Probe.start(kube, name, shop.labels)
        request = HttpRequest("/version")
        (answer,) = probe.send(Address("kubernetes.default.svc", 443), [request], 1, False)
        assert isinstance(answer, HttpResponse), answer
        assert answer.status == 400, "plaintext at a TLS port, answered by the API server"
        probe.close()
        with pytest.raises(NotReady, match=r"istio-init needs NET_ADMIN .* CNI plugin"):
            Probe.start(kube, name, shop.labels, sidecar=True)
