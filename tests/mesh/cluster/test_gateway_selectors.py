"""The run's Gateways are served by the ingress that is named, by the labels of its own Service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproof import manifests
from meshproof.base.errors import NotReady
from meshproof.documents.manifest import Document, parse
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import ClusterOptions, Options
from tests.mesh.cluster.api_server import Cluster, served

#: As Istio's Helm chart `gateway` labels what is called istio-ingress.
HELM = {"app": "istio-ingress", "istio": "ingress"}
USUAL = {"app": "istio-ingressgateway", "istio": "ingressgateway"}
OWN = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: own}
spec:
  selector: {istio: private}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with served(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def mesh(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterMesh]:
    """A run through istio-ingress/istio-ingress, which goes no further than its objects."""
    istio = Istio("istio-system", "", "1.31", (), "istio-ingress/istio-ingress")
    monkeypatch.setattr(Istio, "find", lambda *_: istio)

    def enough(*_: object) -> None:
        raise NotReady("that is enough")

    monkeypatch.setattr(workloads, "wait_available", enough)
    options = Options(cluster=ClusterOptions(kubeconfig=str(cluster.kubeconfig)))
    with ClusterMesh.opened(options) as mesh:
        yield mesh


def ingress(cluster: Cluster, labels: dict[str, str], **of_pod: str) -> None:
    """Have the ingress gateway: its Service selects `labels`, its pod may have more."""
    cluster.add("Service", "istio-ingress", "istio-ingress")["spec"] = {"selector": labels}
    cluster.add("Pod", "istio-ingress-0", "istio-ingress", labels={**labels, **of_pod})


def selectors(cluster: Cluster, mesh: ClusterMesh, documents: list[Document]) -> list[Any]:
    """Return the selectors of the Gateways that a run makes of documents."""
    with pytest.raises(NotReady, match="that is enough"):
        mesh.deploy(documents)
    return [
        body["spec"]["selector"] for key, body in cluster.objects.items() if key[0] == "gateways"
    ]


@pytest.mark.parametrize("name", ["bookinfo", "sock-shop"])
def test_our_apps_come_in_by_a_gateway_of_helm(
    cluster: Cluster, mesh: ClusterMesh, name: str
) -> None:
    ingress(cluster, HELM)
    assert selectors(cluster, mesh, shipped(name)) == [HELM]
    assert "Gateways with the usual selector are at the ingress istio-ingress/istio-ingress" in (
        mesh.notes
    )


@pytest.mark.parametrize(
    ("labels", "of_pod"),
    [(USUAL, {}), ({"app": "gate"}, {"istio": "ingressgateway"})],
    ids=["of the Service", "of its pods"],
)
def test_one_with_the_usual_labels_is_selected_already(
    cluster: Cluster, mesh: ClusterMesh, labels: dict[str, str], of_pod: dict[str, str]
) -> None:
    ingress(cluster, labels, **of_pod)
    assert selectors(cluster, mesh, shipped("bookinfo")) == [{"istio": "ingressgateway"}]
    assert not [note for note in mesh.notes if "usual selector" in note]


def test_a_gateway_that_selects_others_means_it(cluster: Cluster, mesh: ClusterMesh) -> None:
    ingress(cluster, HELM)
    assert selectors(cluster, mesh, parse(OWN, "own.yaml")) == [{"istio": "private"}]


def test_without_the_ingress_nothing_is_made(cluster: Cluster, mesh: ClusterMesh) -> None:
    with pytest.raises(NotReady, match="Service istio-ingress/istio-ingress is missing"):
        mesh.deploy(shipped("bookinfo"))
    assert not [path for method, path in cluster.requests if method == "PATCH"]


def shipped(name: str) -> list[Document]:
    """Return the Gateway of one of our apps, without the apps."""
    return [
        app for app in manifests.apps() if (app.kind, app.name) == ("Gateway", f"{name}-gateway")
    ]
