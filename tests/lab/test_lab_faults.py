"""Faults seen red on a real cluster: the right promise, for its reason, and nothing is left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.cli import main
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.protocol import ClusterOptions
from meshproof.run.record import Run
from tests import ROOT
from tests.lab.away import Away
from tests.lab.commands import (
    LONGEST,
    Ended,
    begun,
    kubectl,
    list_leftovers,
    meshproof,
    of_process,
    snapshot,
)
from tests.lab.test_lab_way_in import blocked

#: Folders of the plugin that plants the faults, and of what it uses.


def run_with(fault: str, chosen: str, folder: Path, *options: str) -> Ended:
    """Run the promises that `-k` chooses on the cluster with a fault in it."""
    before = snapshot()
    ended = meshproof(
        *(
            "test",
            "--mesh",
            "cluster",
            "-p",
            "tests.lab.lab_faults",
            "--fault",
            fault,
            "-k",
            chosen,
        ),
        *options,
        folder=folder,
        PYTHONPATH=str(ROOT),
    )
    assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
    return ended


def test_wrong_rules(tmp_path: Path) -> None:
    chosen = "rotation or v3_only or burr_goes or split"
    ended = run_with("wrong rules", chosen, tmp_path, "--mesh-beta=1e-6")
    assert ended.code == 1, ended.output
    assert ended.outcomes("VirtualService") == {
        "v3 only": "mesh not ready",
        "cookie user=burr": "inconclusive",
        "split half": "failed",
    }
    assert ended.outcomes("") == {"default rotation": "passed"}
    message = ended.message("v3 only")
    assert re.search(r"sock-shop does not have (DestinationRule|VirtualService) reviews", message)
    assert "there is no Service reviews in namespace" in message
    assert "is VirtualService reviews-default in the wrong namespace?" in message
    message = ended.message("cookie user=burr")
    assert "Error fetching product reviews" in message
    assert "DestinationRule reviews: subset v3 (version=v9) selects no pod" in message
    assert "50 % was" in ended.message("split half")


def test_a_sidecar_that_is_missing(tmp_path: Path) -> None:
    ended = run_with("no sidecar", "rotation", tmp_path)
    assert ended.code == 69, ended.output
    assert "no sidecar was injected into" in ended.message("default rotation")
    assert "/reviews-v2-" in ended.message("default rotation")


def test_a_pod_that_crashes_again_and_again(tmp_path: Path) -> None:
    ended = run_with("crash loop", "rotation", tmp_path)
    assert ended.code == 69, ended.output
    message = ended.message("default rotation")
    assert "/reviews-v2-" in message
    assert "CrashLoopBackOff" in message
    assert "no database" in message


def test_a_rule_that_the_cluster_refuses(tmp_path: Path) -> None:
    ended = run_with("refused rule", "rotation or v3_only", tmp_path)
    assert ended.code == 65, ended.output
    assert ended.outcomes("") == {"default rotation": "passed"}
    message = ended.message("v3 only")
    assert "v3_only/v1.yaml:" in message
    assert 'admission webhook "validation.istio.io" denied the request' in message


def test_credentials_that_are_refused(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    kubectl(
        "--kubeconfig", str(kubeconfig), "config", "set-credentials", "admin", "--token=expired"
    )
    ended = meshproof(
        "test", "--mesh", "cluster", "--kubeconfig", str(kubeconfig), "-k=rotation", folder=tmp_path
    )
    assert ended.code == 69, ended.output
    assert "the credentials are refused" in ended.message("default rotation")


def test_credentials_that_may_do_nothing(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    token = kubectl("create", "token", "default", "-n", "default", "--duration=10m")
    kubectl(
        "--kubeconfig", str(kubeconfig), "config", "set-credentials", "admin", f"--token={token}"
    )
    ended = meshproof(
        "test", "--mesh", "cluster", "--kubeconfig", str(kubeconfig), "-k=rotation", folder=tmp_path
    )
    assert ended.code == 69, ended.output
    message = ended.message("default rotation")
    assert "not allowed to" in message
    assert "meshproof rbac" in message


def test_an_api_server_that_is_away_for_a_while(tmp_path: Path) -> None:
    with Away(kubectl("config", "view", "--raw", "--minify", "--flatten"), tmp_path) as away:
        ended = meshproof(
            *("test", "--mesh", "cluster", "--kubeconfig", str(away.kubeconfig)),
            *("-k", "rotation or v3_only or split"),
            folder=tmp_path,
        )
    assert away.refused > 0, "the run did not ask while the API server was away"
    assert ended.code == 0, ended.output


def test_a_client_without_sidecar_where_mutual_tls_is_strict(tmp_path: Path) -> None:
    ended = run_with("bare client", "productpage or rotation", tmp_path)
    assert ended.code == 1, ended.output
    assert ended.outcomes("") == {"productpage": "failed", "default rotation": "inconclusive"}
    assert "HTTP 200 without details" in ended.message("productpage")
    assert "Error fetching product details" in ended.message("default rotation")


def test_a_node_port_that_is_blocked(tmp_path: Path) -> None:
    """The run goes on by a port-forward and says why; with no way in but that port it is red."""
    port = int(
        kubectl(
            *("get", "service", "istio-ingressgateway", "-n", "istio-system"),
            *("-o", "jsonpath={.spec.ports[?(@.port==80)].nodePort}"),
        )
    )
    with blocked(port):
        ended = meshproof("test", "--mesh", "cluster", "-k=rotation", folder=tmp_path)
        assert ended.code == 0, ended.output
        (note_of_ingress,) = [note for note in ended.run.notes if note.startswith("way in: ")]
        assert note_of_ingress.startswith("way in: port-forward to istio-ingressgateway-")
        assert f":{port}) cannot be reached: timed out" in note_of_ingress
        url = f"http://198.18.0.10:{port}"
        ended = meshproof(
            *("test", "--mesh", "cluster", "--mesh-gateway-url", url, "-k=rotation"),
            folder=tmp_path,
        )
    assert ended.code == 69, ended.output
    assert "no answer" in ended.message("default rotation")
    assert list_leftovers(ended) == []


ACCOUNT = "meshproof-test-expiring"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account of the test's own, which may do everything until it is gone."""
    kubectl("create", "serviceaccount", ACCOUNT, "-n", "default")
    kubectl(
        *("create", "clusterrolebinding", ACCOUNT, "--clusterrole=cluster-admin"),
        f"--serviceaccount=default:{ACCOUNT}",
    )
    try:
        config = json.loads(
            kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        )
        token = kubectl("create", "token", ACCOUNT, "-n", "default", "--duration=10m")
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        yield path
    finally:
        kubectl("delete", "clusterrolebinding", ACCOUNT)
        kubectl("delete", "serviceaccount", ACCOUNT, "-n", "default", "--ignore-not-found")


def test_credentials_that_expire_in_the_middle_of_a_run(account: Path, tmp_path: Path) -> None:
    """What the run may not delete any more, `meshproof cleanup` does with good credentials."""
    arguments = (
        "test",
        "--mesh",
        "cluster",
        "--kubeconfig",
        str(account),
        "-k=rotation or v3_only",
    )
    with begun(*arguments, folder=tmp_path) as run:
        wait_for(lambda: of_process(run.pid) or None, 60, lambda: "no namespace", 0.2)
        kubectl("delete", "serviceaccount", ACCOUNT, "-n", "default")
        output, _ = run.communicate(timeout=LONGEST)
    assert run.returncode == 69, output
    record = Run.from_json((tmp_path / "report" / "run.json").read_text())
    assert any(
        "the credentials are refused (expired" in result.message for result in record.results
    )
    assert of_process(run.pid), "it could not delete anything"
    assert main(["cleanup"]) == 0
    assert of_process(run.pid) == []


def test_an_ingress_that_cannot_be_reached(tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", "--mesh-gateway-url", "http://198.18.0.10:9", "-k=rotation"),
        folder=tmp_path,
    )
    assert ended.code == 69, ended.output
    assert "no answer" in ended.message("default rotation")


@pytest.fixture
def _no_istiod() -> Iterator[None]:
    scale = ("scale", "-n", "istio-system", "deployment/istiod")
    kubectl(*scale, "--replicas=0")
    try:
        kubectl(
            *("wait", "-n", "istio-system", "pod", "-l", "app=istiod"),
            *("--for=delete", "--timeout=60s"),
        )
        yield
    finally:
        kubectl(*scale, "--replicas=1")
        kubectl("rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=90s")


@pytest.mark.usefixtures("_no_istiod")
def test_an_istiod_that_is_scaled_to_zero(tmp_path: Path) -> None:
    ended = meshproof("test", "--mesh", "cluster", "-k=rotation", folder=tmp_path)
    assert ended.code == 69, ended.output
    message = ended.message("default rotation")
    assert "there is no istiod in namespace istio-system" in message
    assert list_leftovers(ended) == []


def test_a_kind_that_the_cluster_does_not_know(tmp_path: Path) -> None:
    with Kube.connected(ClusterOptions(), tmp_path) as kube:
        with pytest.raises(NotReady, match="list Widget: the cluster does not know that kind"):
            kube.list("shop.example/v1", "Widget")
        assert not kube.has_kind("shop.example/v1", "Widget")
        assert kube.has_kind("networking.istio.io/v1", "VirtualService")
