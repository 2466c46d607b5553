"""Runs through an ingress gateway as Istio's Helm chart makes it, and without any that is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.commands import kubectl, list_leftovers, meshproof

NAMESPACE, NAME = "helm-ingress", "istio-ingress"
SELECTOR = {"app": NAME, "istio": "ingress"}


def objects() -> list[dict[str, Any]]:
    """Return what `helm template istio-ingress istio/gateway` prints, without what scales it."""
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": SELECTOR}
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "imagePullPolicy": "IfNotPresent",  # without a tag it would be Always
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom"}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    pod = {
        "serviceAccountName": NAME,
        "securityContext": {
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        },
        "containers": [container],
    }
    template = {
        "metadata": {
            "annotations": {"inject.istio.io/templates": "gateway"},
            "labels": {"sidecar.istio.io/inject": "true", **SELECTOR},
        },
        "spec": pod,
    }
    ports = [{"name": "http2", "port": 80, "targetPort": 80}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "LoadBalancer", "selector": SELECTOR, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": SELECTOR}, "template": template},
        },
    ]


@pytest.fixture(scope="module")
def ingress() -> Iterator[str]:
    """The gateway, as NAMESPACE/NAME; it goes with the tests."""
    kubectl("create", "namespace", NAMESPACE)
    try:
        kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects()))
        kubectl("rollout", "status", f"deployment/{NAME}", "-n", NAMESPACE, "--timeout=90s")
        yield f"{NAMESPACE}/{NAME}"
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=90s")


def test_our_apps_are_reached_through_it(ingress: str, tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", "--mesh-ingress", ingress),
        *("-k", "productpage or v3_only or control_plane"),
        folder=tmp_path,
    )
    assert ended.code == 0, ended.output
    assert ended.outcomes("VirtualService") == {"v3 only": "passed"}
    outcomes = ended.outcomes("")
    assert [
        outcomes[f"control plane: {aspect}"] for aspect in ("ready", "in sync", "accepted")
    ] == [*["passed"] * 3]
    assert outcomes["productpage"] == "passed"
    assert f"Gateways with the usual selector are at the ingress {ingress}" in ended.run.notes
    assert list_leftovers(ended) == []


def test_one_that_is_not_named_is_no_pass_with_a_url(ingress: str, tmp_path: Path) -> None:
    """The URL leads to it; the run looks for another, which there is not."""
    ports = "jsonpath={.spec.ports[0].nodePort}"
    port = kubectl("get", "service", NAME, "-n", NAMESPACE, "-o", ports)
    ended = meshproof(
        *("test", "--mesh", "cluster", "--mesh-ingress", "istio-system/gone"),
        *("--mesh-gateway-url", f"http://127.0.0.1:{port}", "-k", "productpage"),
        folder=tmp_path,
    )
    assert ended.code == 69, ended.output
    message = ended.message("productpage")
    assert "no ingress gateway is known: Service istio-system/gone is missing" in message
    assert f"--mesh-ingress NAMESPACE/NAME: there is {ingress}" in message
    assert list_leftovers(ended) == []
