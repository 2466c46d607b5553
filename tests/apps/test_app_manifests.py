"""The Kubernetes files of the apps: they parse, hang together and have their stand-ins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.apps import find_standin
from tests import ROOT

FOLDER = ROOT / "manifests" / "apps"
FILES = sorted(FOLDER.glob("*.yaml"))
APPS = [file for file in FILES if "gateway" not in file.name]


def objects(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def of_kind(kind: str) -> list[Any]:
    """One parameter for each object of this kind in all files."""
    return [
        pytest.param(manifest, id=manifest["metadata"]["name"])
        for file in FILES
        for manifest in objects(file)
        if manifest["kind"] == kind
    ]


def test_the_four_files_are_there() -> None:
    names = {"bookinfo", "bookinfo-gateway", "sock-shop", "sock-shop-gateway"}
    assert {file.stem for file in FILES} == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_namespace_is_set_in_the_sock_shop_only(file: Path) -> None:
    expected = "sock-shop" if file.stem.startswith("sock-shop") else None
    namespaced = [manifest for manifest in objects(file) if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"].get("namespace") for manifest in namespaced} == {expected}
    if file.stem == "sock-shop":
        assert objects(file)[0]["kind"] == "Namespace"


@pytest.mark.parametrize("deployment", of_kind("Deployment"))
def test_deployment_is_complete(deployment: dict[str, Any]) -> None:
    assert deployment["apiVersion"] == "apps/v1"
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["replicas"] == 1
    (container,) = template["spec"]["containers"]
    standin = find_standin(container["image"])
    assert standin.env["SERVICE_VERSION"] == labels["version"]
    assert standin.args == (labels["app"],)
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("file", APPS, ids=lambda file: file.name)
def test_service_selects_pods_that_listen_on_its_target_port(file: Path) -> None:
    pods = [
        manifest["spec"]["template"]
        for manifest in objects(file)
        if manifest["kind"] == "Deployment"
    ]
    accounts = {
        manifest["metadata"]["name"]
        for manifest in objects(file)
        if manifest["kind"] == "ServiceAccount"
    }
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == accounts
    for service in (manifest for manifest in objects(file) if manifest["kind"] == "Service"):
        selector, (port,) = service["spec"]["selector"], service["spec"]["ports"]
        selected_pods = [
            pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()
        ]
        listening = {
            pod["spec"]["containers"][0]["ports"][0]["containerPort"] for pod in selected_pods
        }
        assert (port["name"], {port["targetPort"]}) == ("http", listening)


@pytest.mark.parametrize("file", APPS, ids=lambda file: file.name)
def test_the_way_in_leads_to_a_service_of_the_same_app(file: Path) -> None:
    gateway, tables = objects(file.with_name(f"{file.stem}-gateway.yaml"))
    assert tables["spec"]["gateways"] == [gateway["metadata"]["name"]]
    ports = {
        manifest["metadata"]["name"]: manifest["spec"]["ports"][0]["port"]
        for manifest in objects(file)
        if manifest["kind"] == "Service"
    }
    for route in tables["spec"]["http"]:
        for table in route["route"]:
            destination = table["destination"]
            assert ports[destination["host"]] == destination["port"]["number"]
