"""`meshproof cleanup` and what a run does before it begins and at its end, on a stand-in API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.cli import main
from meshproof.mesh.cluster.api import kinds
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.run import leftovers
from meshproof.mesh.cluster.run.ownership import OWNER, UNTIL, identify_machine, owner_annotations
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import ClusterOptions
from tests.mesh.cluster.api_server import Cluster, served

HINT = "`meshproof rbac` prints the Role that a run needs"
DEAD, ALIVE, UNCLEAR = "dead0001", "alive001", "unclear1"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a dead run, a living one and one that does not tell; and others' objects."""
    with served(tmp_path) as cluster, Workspace.create() as workspace:
        living = owner_annotations(workspace.path)
        dead = owner_annotations(workspace.path.with_name("run-1-00000000"))
        dead[OWNER] = f"other:boot:1:{workspace.path}"
        dead[UNTIL] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        for run, notes in ((DEAD, dead), (ALIVE, living), (UNCLEAR, {OWNER: "somebody"})):
            labels = {"meshproof/run": run, "app.kubernetes.io/managed-by": "meshproof"}
            name = f"meshproof-{run}"
            cluster.add("Namespace", name, labels=labels, annotations=notes)
            cluster.add("ConfigMap", "script", name, labels=labels)
            cluster.add("Secret", "inside", name)
            cluster.add("ClusterRole", f"reader-{run}", labels=labels, annotations=notes)
            cluster.add("EnvoyFilter", f"planted-{run}", "istio-system", labels=labels)
        cluster.add("Namespace", "theirs")
        cluster.add("ConfigMap", "theirs", "theirs", labels={"app": "meshproof"})
        cluster.add("ConfigMap", "copied", "theirs", labels={"meshproof/run": DEAD})
        yield cluster


def of(cluster: Cluster, run: str) -> set[str]:
    return {name for name in cluster.names() if run in name}


def cleanup(cluster: Cluster, *arguments: str) -> int:
    return main(["cleanup", "--kubeconfig", str(cluster.kubeconfig), *arguments])


def test_the_pods_of_a_dead_run_are_told_to_end_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "NAMESPACE_END", 1.0)
    for run in (DEAD, ALIVE):
        labels = {"meshproof/run": run, "app.kubernetes.io/managed-by": "meshproof"}
        deployment = cluster.add("Deployment", "app", f"meshproof-{run}", labels=labels)
        deployment["spec"]["replicas"] = 2
        cluster.add("Pod", "probe", f"meshproof-{run}", labels=labels)
    assert cleanup(cluster) == 1, "one run does not tell whether it goes on"
    changes = [
        request
        for request in cluster.requests
        if request[0] in ("DELETE", "PATCH") and DEAD in request[1]
    ]
    head = f"/api/v1/namespaces/meshproof-{DEAD}"
    assert changes[0] == ("DELETE", head)
    assert ("PATCH", f"/apis/apps/v1/namespaces/meshproof-{DEAD}/deployments/app") in changes
    assert f"namespaces/meshproof-{DEAD}" not in cluster.names()
    assert cluster.objects["deployments", f"meshproof-{ALIVE}", "app"]["spec"]["replicas"] == 2


def test_who_may_not_end_pods_waits_for_the_cluster_to_do_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "NAMESPACE_END", 1.0)
    labels = {"meshproof/run": DEAD, "app.kubernetes.io/managed-by": "meshproof"}
    cluster.add("Deployment", "app", f"meshproof-{DEAD}", labels=labels)["spec"]["replicas"] = 1
    cluster.refused.add("deployments")
    assert cleanup(cluster) == 1, "one run does not tell whether it goes on"
    assert [request for request in cluster.requests if request[0] == "PATCH"]
    assert f"namespaces/meshproof-{DEAD}" not in cluster.names()


def test_what_dead_runs_left_goes_and_nothing_else(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cluster.names()
    assert cleanup(cluster) == 1, "one run does not tell whether it goes on"
    gone = before - cluster.names()
    assert gone == {
        "namespaces/meshproof-dead0001",
        "configmaps/meshproof-dead0001/script",
        "secrets/meshproof-dead0001/inside",
        "clusterroles/reader-dead0001",
        "envoyfilters/istio-system/planted-dead0001",
    }
    output = capsys.readouterr().out
    assert "deleted: Namespace meshproof-dead0001 (run dead0001: it was to end by" in output
    assert "goes on, not touched: Namespace meshproof-alive001 (run alive001: its process" in output
    assert (
        f"unclear, not touched: Namespace meshproof-{UNCLEAR} (run {UNCLEAR}: annotation" in output
    )
    assert "meshproof cleanup --run unclear1" in output
    assert "left: ConfigMap theirs/copied (run dead0001" in output
    assert "3 objects of dead runs deleted" in output


def test_no_value_of_a_secret_is_asked_for(cluster: Cluster) -> None:
    cleanup(cluster)
    secret_paths = [path for _, path in cluster.requests if "/secrets" in path]
    assert secret_paths
    assert not any("/secrets/" in path for path in secret_paths), "its list is metadata alone"


def test_a_dry_run_changes_nothing_and_says_what_it_would(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cluster.names()
    assert cleanup(cluster, "--dry-run", "-o", "json") == 1
    assert cluster.names() == before
    assert {method for method, _ in cluster.requests} == {"GET"}
    output = json.loads(capsys.readouterr().out)
    assert {run["run"]: run["state"] for run in output["runs"]} == {
        DEAD: "gone",
        ALIVE: "lives",
        UNCLEAR: "unknown",
    }
    (dead,) = [run for run in output["runs"] if run["run"] == DEAD]
    assert dead["deleted"] == [
        "Namespace meshproof-dead0001",
        "ClusterRole reader-dead0001",
        "EnvoyFilter istio-system/planted-dead0001",
    ]
    assert (output["dry_run"], output["exit_code"]) == (True, 1)


def test_a_run_by_its_name(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cleanup(cluster, "--run", UNCLEAR) == 0
    assert of(cluster, UNCLEAR) == set()
    assert of(cluster, DEAD)
    before = cluster.names()
    assert cleanup(cluster, "--run", ALIVE) == 64
    assert "it goes on: its process" in capsys.readouterr().err
    assert cleanup(cluster, "--run", "dead0002") == 64
    assert "no such run; did you mean 'dead0001'?" in capsys.readouterr().err
    assert cluster.names() == before


def test_a_run_and_all_runs_exclude_each_other(cluster: Cluster) -> None:
    with pytest.raises(SystemExit) as ended:
        cleanup(cluster, "--run", DEAD, "--all-runs")
    assert ended.value.code == 64


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACE_END", "LEFTOVERS_END"):
        monkeypatch.setattr(timeouts, name, 0.5)


@pytest.mark.usefixtures("_impatient")
def test_what_holds_a_namespace_is_named(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    held = cluster.objects["configmaps", f"meshproof-{DEAD}", "script"]["metadata"]
    held["finalizers"] = ["planted.test/hold"]
    spec = cluster.objects["namespaces", "", f"meshproof-{DEAD}"]["spec"]
    spec["finalizers"] = ["kubernetes", "planted.test/own"]
    assert cleanup(cluster) == 69
    output = capsys.readouterr().out
    assert "namespace meshproof-dead0001 does not go: " in output
    assert "configmaps. has 1 resource instances" in output
    assert "the namespace itself has the finalizers planted.test/own" in output
    assert "ConfigMap meshproof-dead0001/script has the finalizers planted.test/hold" in output
    assert "deleted: ClusterRole reader-dead0001" in output
    assert "deleted: Namespace" not in output


@pytest.mark.usefixtures("_impatient")
def test_a_stuck_leftover_does_not_keep_a_run_from_beginning(
    cluster: Cluster, tmp_path: Path
) -> None:
    held = cluster.objects["configmaps", f"meshproof-{DEAD}", "script"]["metadata"]
    held["finalizers"] = ["planted.test/hold"]
    with connected(cluster, tmp_path) as kube:
        for _ in range(2):  # at the second time it is stuck from the start
            notes = leftovers.clear_dead_runs(kube)
            assert any("script has the finalizers planted.test/hold" in note for note in notes)
            assert any(f"run {UNCLEAR} (annotation" in note for note in notes)
        del held["finalizers"]
        cluster.delete(("namespaces", "", f"meshproof-{DEAD}"))
        assert not any("hold" in note for note in leftovers.clear_dead_runs(kube))
    assert of(cluster, DEAD) == set()


def connected(cluster: Cluster, folder: Path) -> AbstractContextManager[Kube]:
    return Kube.connected(ClusterOptions(kubeconfig=str(cluster.kubeconfig)), folder)


def test_a_run_that_ends_looks_at_every_kind_that_it_has_applied(
    cluster: Cluster, tmp_path: Path
) -> None:
    with connected(cluster, tmp_path) as kube:
        kube.applied_kinds |= {("v1", "ConfigMap"), ("networking.istio.io/v1alpha3", "EnvoyFilter")}
        with pytest.raises(NotReady, match=r"run dead0001 left ConfigMap theirs/copied"):
            leftovers.end_run(kube, DEAD)
        assert of(cluster, DEAD) == {"clusterroles/reader-dead0001"}, "it has applied none"
        kube.applied_kinds.clear()
        kube.applied_kinds |= {("rbac.authorization.k8s.io/v1", "ClusterRole"), ("v1", "ConfigMap")}
        cluster.forbidden = {"configmaps"}
        leftovers.end_run(kube, ALIVE)
        assert of(cluster, ALIVE) == {f"envoyfilters/istio-system/planted-{ALIVE}"}
        cluster.forbidden = {"clusterroles"}
        with pytest.raises(NotReady, match=r"not allowed to read .*clusterroles"):
            leftovers.end_run(kube, ALIVE)
        cluster.forbidden = {"namespaces"}
        with pytest.raises(NotReady, match=f"not allowed to read .*namespaces.*\n{HINT}"):
            leftovers.end_run(kube, UNCLEAR)
        with pytest.raises(NotReady, match=f"not allowed to read .*namespaces.*\n{HINT}"):
            leftovers.clear_dead_runs(kube)


def test_a_run_that_ends_waits_for_an_api_server_that_is_away(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "API_START", 0.1)
    with connected(cluster, tmp_path) as kube:
        cluster.away = 4
        leftovers.end_run(kube, ALIVE)
    assert cluster.away == 0
    assert f"namespaces/meshproof-{ALIVE}" not in cluster.names()


def test_kinds_that_nobody_may_list_are_named(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.forbidden = {"secrets", "clusterroles"}
    cleanup(cluster)
    output = capsys.readouterr().out
    assert "not looked at: ClusterRole (rbac.authorization.k8s.io/v1), Secret (v1): " in output
    assert "meshproof rbac" not in output, "its Role does not let one list all kinds"
    assert f"namespaces/meshproof-{DEAD}" not in cluster.names()


@pytest.mark.parametrize("aggregated", [True, False])
def test_every_kind_is_known_once_in_its_preferred_version(
    cluster: Cluster, tmp_path: Path, aggregated: bool
) -> None:
    cluster.aggregated = aggregated
    with connected(cluster, tmp_path) as kube:
        versions = {kind.kind: kind.api_version for kind in kinds.discover_kinds(kube)}
    assert versions == {
        "Namespace": "v1",
        "ConfigMap": "v1",
        "Secret": "v1",
        "Pod": "v1",
        "Service": "v1",
        "Deployment": "apps/v1",
        "ClusterRole": "rbac.authorization.k8s.io/v1",
        "VirtualService": "networking.istio.io/v1",
        "Gateway": "networking.istio.io/v1",
        "EnvoyFilter": "networking.istio.io/v1alpha3",
    }


def test_an_object_that_took_the_place_of_another_stays(cluster: Cluster, tmp_path: Path) -> None:
    with connected(cluster, tmp_path) as kube:
        (dead,) = leftovers.find_leftovers(kube, run=DEAD).runs
        cluster.objects["clusterroles", "", f"reader-{DEAD}"]["metadata"]["uid"] = "another"
        leftovers.delete_objects(kube, dead.to_delete)
    assert of(cluster, DEAD) == {f"clusterroles/reader-{DEAD}"}


def test_a_cluster_that_does_not_answer_is_said(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "API_START", 0.2)
    text = cluster.kubeconfig.read_text()
    cluster.kubeconfig.write_text(text.replace("http://127.0.0.1:", "http://127.0.0.1:1#"))
    assert cleanup(cluster) == 69
    assert "the API server does not answer" in capsys.readouterr().err


def killed_run(folder: Path) -> Path:
    """Return the folder, in `folder`, of a run of this machine whose process was killed."""
    code = (
        "import os, sys; from meshproof.mesh.process.processes import Workspace; "
        "print(Workspace.create().path, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == -9, done.stderr
    return Path(done.stdout.strip())


def test_this_machine_is_cleared_too_without_a_cluster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others clear the machine's own place
    folder = killed_run(tmp_path)
    assert main(["cleanup", "--dry-run"]) == 0
    assert folder.exists()
    assert f"to be removed: folder and processes of the run {folder}" in capsys.readouterr().out
    assert main(["cleanup"]) == 0
    assert not folder.exists()
    output = capsys.readouterr().out
    assert f"removed: folder and processes of the run {folder}" in output
    assert "only this machine was looked at" in output
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["cleanup", "--context", "x"]) == 69


def test_machine_is_told_by_more_than_its_name() -> None:
    host, boot, mounts = identify_machine().split(":")
    assert host == os.uname().nodename
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert mounts.isdigit()
