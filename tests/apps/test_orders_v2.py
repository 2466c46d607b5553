"""The Deployment of orders v2 beside the user's own file: what it keeps, what is of today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT

PAGE = (ROOT / "docs" / "orders-v2.md").read_text()


def orders_v2(file: Path) -> dict[str, Any]:
    (deployment,) = [
        document
        for document in yaml.safe_load_all(file.read_text())
        if (document["kind"], document["metadata"]["name"]) == ("Deployment", "orders-v2")
    ]
    return dict(deployment)


@pytest.fixture(scope="module")
def was() -> dict[str, Any]:
    return orders_v2(ROOT / "tests" / "rules" / "seed" / "orders-test.yaml")


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    return orders_v2(ROOT / "manifests" / "apps" / "sock-shop.yaml")


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_it_keeps_what_the_user_wrote(was: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = container(was), container(now)
    assert new["image"] == f"docker.io/{old['image']}"
    assert new["imagePullPolicy"] == old["imagePullPolicy"]
    assert now["metadata"]["namespace"] == was["metadata"]["namespace"]
    assert now["spec"]["replicas"] == was["spec"]["replicas"]
    labels = was["spec"]["template"]["metadata"]["labels"].items()
    assert labels <= now["spec"]["template"]["metadata"]["labels"].items()
    environment = {variable["name"]: variable["value"] for variable in old["env"]}
    options = environment.pop("JAVA_OPTS").split()
    new_environment = {variable["name"]: variable["value"] for variable in new["env"]}
    assert new_environment.pop("JAVA_OPTS").split() == [
        option for option in options if "PermSize" not in option
    ]
    assert new_environment == environment == {"ZIPKIN": "zipkin.jaeger.svc.cluster.local"}
    assert [port["containerPort"] for port in new["ports"]] == [80]
    assert [mount["mountPath"] for mount in new["volumeMounts"]] == ["/tmp"]
    assert now["spec"]["template"]["spec"]["volumes"][0]["emptyDir"] == {"medium": "Memory"}


def test_it_is_of_today(now: dict[str, Any]) -> None:
    assert now["apiVersion"] == "apps/v1"
    pod = now["spec"]["template"]
    assert now["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    security = pod["spec"]["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(now)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(now)[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert set(pod["spec"]["nodeSelector"]) == {"kubernetes.io/os"}


def test_the_page_tells_every_change(was: dict[str, Any], now: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", PAGE, re.M)[1:]
    assert len(rows) >= 8
    page_rows = " ".join(" ".join(row) for row in rows)
    for word in (was["apiVersion"], now["apiVersion"], "PermSize", "startupProbe", "/health"):
        assert word in page_rows
    for key in (*was["spec"]["template"]["spec"]["nodeSelector"], "kubernetes.io/os"):
        assert f"`{key}`" in page_rows
    assert container(now)["image"] in PAGE
