"""Whose an Ingress is: what is read of a live namespace is what istiod serves at its gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.proxies.proxies import read_run_parts
from meshproof.mesh.protocol import ClusterOptions
from meshproof.user_rules import live, loading
from tests.lab.commands import kubectl

SHOP = "class-shop"
API = "networking.k8s.io/v1"
#: Name of an IngressClass -> its controller.
CLASSES = {f"{SHOP}-ours": "istio.io/ingress-controller", f"{SHOP}-theirs": "k8s.io/ingress-nginx"}


def ingress(name: str, chosen: str, **annotations: str) -> dict[str, Any]:
    """Return an Ingress for a host of its own, `NAME.class-shop.test`."""
    backend = {"service": {"name": "cart", "port": {"number": 80}}}
    paths = [{"path": "/cart", "pathType": "Exact", "backend": backend}]
    return {
        "apiVersion": API,
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": SHOP, "annotations": annotations},
        "spec": {
            **({"ingressClassName": chosen} if chosen else {}),
            "rules": [{"host": f"{name}.{SHOP}.test", "http": {"paths": paths}}],
        },
    }


OBJECTS = [
    *(
        {
            "apiVersion": API,
            "kind": "IngressClass",
            "metadata": {"name": name},
            "spec": {"controller": controller},
        }
        for name, controller in CLASSES.items()
    ),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": SHOP},
        "spec": {"selector": {"app": "cart"}, "ports": [{"name": "http", "port": 80}]},
    },
    ingress("ours", f"{SHOP}-ours"),
    ingress("theirs", f"{SHOP}-theirs"),
    ingress("none", ""),
    ingress("named", "istio"),  # there is no IngressClass of that name
    ingress("annotated", "", **{"kubernetes.io/ingress.class": "istio"}),
]


@pytest.fixture
def _shop() -> Iterator[None]:
    kubectl("create", "namespace", SHOP)
    try:
        kubectl("apply", "-f", "-", text=yaml.safe_dump_all(OBJECTS))
        yield
    finally:
        kubectl("delete", "ingressclass", *CLASSES)
        kubectl("delete", "namespace", SHOP, "--wait=true", "--timeout=90s")


def served(folder: Path) -> set[str]:
    """Return the names of the Ingresses that the gateway serves, once it serves any by a class."""
    with Kube.connected(ClusterOptions(), folder) as kube:
        (gateway,) = Istio.find(kube, ClusterOptions()).list_gateways(kube)

        def look() -> set[str] | None:
            parts = read_run_parts(kube, gateway, f".{SHOP}.test")
            hosts = {domain for part in parts for domain in part.get("domains", ())}
            names = {host.partition(".")[0] for host in hosts}
            return names if {"ours", "annotated"} <= names else None

        return wait_for(look, 30, lambda: "the gateway does not serve them", 0.2)


@pytest.mark.usefixtures("_shop")
def test_an_ingress_is_read_as_istiod_takes_it(tmp_path: Path) -> None:
    texts = live.read_texts([f"cluster:{SHOP}"])
    read = {name.partition(" Ingress/")[2] for name in texts if " Ingress/" in name}
    assert served(tmp_path) == {"ours", "annotated"}
    assert read == {"ours", "annotated", "named"}
    user_rules = loading.load([f"cluster:{SHOP}"])
    hosts = {case.call.host_header.partition(".")[0] for case in user_rules.plan.cases}
    assert read <= hosts
    (unproven,) = user_rules.unproven
    assert "Ingress/named:" in str(unproven)
    assert "no IngressClass 'istio' that says that Istio serves it" in str(unproven)
