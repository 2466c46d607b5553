"""What a run makes is its own: it says so anew while it goes on, and makes nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.documents.manifest import parse
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.run.ownership import UNTIL, RunState, read_run_status
from meshproof.mesh.protocol import ClusterOptions, Options, SandboxRules
from meshproof.user_rules import loading
from tests.mesh.cluster.api_server import Cluster, served

READER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
"""

OUTSIDE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec: {hosts: [api.example.net], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec: {hosts: [api.example.net], http: [{route: [{destination: {host: api.example.net}}]}]}
"""
SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: shop, image: shop}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with served(tmp_path) as cluster:
        cluster.add("ClusterRole", "reader")
        yield cluster


@pytest.fixture
def options(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Options:
    istio = Istio("istio-system", "", "1.31", (), "istio-system/istio-ingressgateway")
    monkeypatch.setattr(Istio, "find", lambda *_: istio)
    cluster_options = ClusterOptions(
        kubeconfig=str(cluster.kubeconfig), namespace_labels={"team": "a"}
    )
    return Options(cluster=cluster_options)


@pytest.fixture
def mesh(options: Options) -> Iterator[ClusterMesh]:
    with ClusterMesh.opened(options) as mesh:
        yield mesh


def test_an_object_of_the_whole_cluster_is_refused_before_anything_is_made(
    cluster: Cluster, mesh: ClusterMesh
) -> None:
    with pytest.raises(
        BadRules, match=r"apps.yaml:2: ClusterRole reader is an object of the whole"
    ):
        mesh.deploy(parse(READER, "apps.yaml"))
    assert cluster.names() == {"clusterroles/reader"}
    assert not [path for method, path in cluster.requests if method == "PATCH"]


def test_an_istio_that_is_too_old_is_said_before_anything_is_made(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Istio("istio-system", "", "1.20.3", (), "istio-system/istio-ingressgateway")
    monkeypatch.setattr(Istio, "find", lambda *_: old)
    cluster.without = {"networking.istio.io/v1"}
    options = Options(cluster=ClusterOptions(kubeconfig=str(cluster.kubeconfig)))
    with pytest.raises(NotReady) as excinfo, ClusterMesh.opened(options):
        pass
    assert str(excinfo.value) == (
        "context stand-in: it does not serve networking.istio.io/v1, which Istio has since 1.22, "
        "the oldest that is supported (istiod is 1.20.3): upgrade Istio, or only its custom "
        "resource definitions where it is newer"
    )
    assert not [path for method, path in cluster.requests if method == "PATCH"]


def test_rules_of_which_nothing_can_be_proven_are_told_where_a_sandbox_is_asked_for(
    cluster: Cluster, options: Options, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(OUTSIDE)
    user_rules = loading.load([str(file)])
    sandbox = SandboxRules(user_rules.rules, user_rules.plan.cases, user_rules.known_hosts)
    with ClusterMesh.opened(replace(options, sandbox=sandbox)) as mesh:  # the mesh itself works
        with pytest.raises(BadRules, match="no case of these rules"), mesh.sandbox():
            pass
        assert not [key for key in cluster.objects if "-rules-" in str(key)]


def test_a_run_says_anew_that_it_goes_on(cluster: Cluster, mesh: ClusterMesh) -> None:
    mesh._app_namespaces = ["meshproof-own"]
    mesh._renew_namespaces()
    key = ("namespaces", "", "meshproof-own")
    labels = cluster.objects[key]["metadata"]["labels"]
    assert labels["team"] == "a"
    assert set(labels) > {"team", "meshproof/run"}
    first = cluster.objects[key]["metadata"]["annotations"]
    assert read_run_status(first).state is RunState.LIVES
    cluster.objects[key]["metadata"]["annotations"] = {**first, UNTIL: "long ago"}
    mesh._renew_namespaces()
    assert cluster.objects[key]["metadata"]["annotations"][UNTIL] == "long ago"
    mesh._renewed_at -= timeouts.RUN_LIFE / 8
    mesh._renew_namespaces()
    annotations = cluster.objects[key]["metadata"]["annotations"]
    assert annotations[UNTIL] >= first[UNTIL]
    assert annotations[UNTIL] != "long ago"


def test_what_a_run_has_made_goes_with_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    istio = Istio("istio-system", "", "1.31", (), "istio-system/istio-ingressgateway")
    monkeypatch.setattr(Istio, "find", lambda *_: istio)
    options = Options(cluster=ClusterOptions(kubeconfig=str(cluster.kubeconfig)))
    before = cluster.names()
    with ClusterMesh.opened(options) as mesh:
        mesh._app_namespaces = ["meshproof-own"]
        mesh._renew_namespaces()
        assert cluster.names() - before == {"namespaces/meshproof-own"}
    assert cluster.names() == before
