"""Nothing of a run is left, however it ends: by a signal, killed, or held fast by somebody else."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshproof.base import timeouts
from meshproof.base.waiting import wait_for
from meshproof.cli import main
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.process.processes import list_runs
from tests.lab.commands import LONGEST, PLANTED, begun, everything, kubectl, meshproof, of_process
from tests.lab.test_lab_faults import run_with

RUN = ("test", "--mesh", "cluster", "-k", "rotation or v3_only")
#: Seconds after its first namespace at which a run is ended, the same in every test run.
POINTS = [
    round(point, 1) for point in random.Random(20261128).choices([x / 10 for x in range(200)], k=3)
]
GONE = {
    "meshproof/owner": "elsewhere:boot:1:/tmp/meshproof-0/run-1-00000000",
    "meshproof/until": (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds"),
}


def wait_for_namespace(run: subprocess.Popen[str]) -> str:
    """Return the first namespace of a run, once it has one."""

    def look() -> str | None:
        assert run.poll() is None, run.communicate()[0]
        return next(iter(of_process(run.pid)), None)

    return wait_for(look, 60, lambda: "the run has made no namespace", 0.2)


def left_locally(run: subprocess.Popen[str]) -> list[str]:
    return [
        run_folder.path.name
        for run_folder in list_runs()
        if run_folder.path.name.startswith(f"run-{run.pid}-")
    ]


@pytest.mark.parametrize(
    ("after", "number"),
    list(zip(POINTS, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), strict=True)),
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_a_run_and_leaves_nothing(
    tmp_path: Path, after: float, number: signal.Signals
) -> None:
    before = everything()
    with begun(*RUN, folder=tmp_path) as run:
        wait_for_namespace(run)
        time.sleep(after)
        run.send_signal(number)
        output, _ = run.communicate(timeout=LONGEST)
    assert run.returncode == 2, output
    assert (everything() ^ before, left_locally(run)) == (set(), [])


def test_evidence_of_apps_that_were_coming_up_is_saved_after_a_signal(tmp_path: Path) -> None:
    with begun(*RUN, folder=tmp_path) as run:
        namespace = wait_for_namespace(run)
        wait_for(
            lambda: kubectl("get", "pods", "-n", namespace, "-o", "name") or None,
            60,
            lambda: "there is no pod",
            0.2,
        )
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=LONGEST)
    assert run.returncode == 2, output
    (folder,) = (tmp_path / "report" / "diagnosis").glob("mesh-*")
    pods = json.loads((folder / "pods.json").read_text())
    assert {pod["metadata"]["namespace"] for pod in pods} >= {namespace}
    assert of_process(run.pid) == []


@pytest.fixture
def killed(tmp_path: Path, request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    """A run that was killed, so long after its first namespace as the parameter says."""
    with begun(*RUN, folder=tmp_path) as run:
        wait_for_namespace(run)
        time.sleep(request.param)
        run.kill()
        run.communicate(timeout=LONGEST)
    assert of_process(run.pid), "it has left nothing"
    return run


@pytest.fixture
def before() -> set[str]:
    """Return what there is before the test."""
    return everything()


@pytest.mark.parametrize("killed", POINTS, indirect=True, ids=["first", "second", "third"])
def test_cleanup_removes_what_a_killed_run_left(
    before: set[str], killed: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = of_process(killed.pid)
    assert left_locally(killed)
    assert main(["cleanup"]) == 0
    output = capsys.readouterr().out
    for name in names:
        assert f"deleted: Namespace {name} (run " in output
    assert f"its process {killed.pid} has ended on this machine" in output
    assert (everything() ^ before, left_locally(killed)) == (set(), [])


@pytest.mark.parametrize("killed", [3.0], indirect=True)
def test_the_next_run_removes_it_too(
    before: set[str], killed: subprocess.Popen[str], tmp_path: Path
) -> None:
    ended = meshproof("test", "--mesh", "cluster", "-k=rotation", folder=tmp_path)
    assert ended.code == 0, ended.output
    assert (everything() ^ before, left_locally(killed)) == (set(), [])


def test_a_run_that_goes_on_is_left_alone(
    shop: ClusterMesh, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything()
    assert main(["cleanup", "--all-runs"]) == 0
    run = shop.labels["meshproof/run"]
    output = capsys.readouterr().out
    assert f"goes on, not touched: Namespace meshproof-{run}-sock-shop (run {run}: its" in output
    assert main(["cleanup", "--run", run]) == 64
    assert everything() == before


def create_namespace(name: str, **metadata: Any) -> None:
    """Have a namespace with a ConfigMap and a ClusterRole, labelled as those of a run."""
    labels = {"meshproof/run": name, "app.kubernetes.io/managed-by": "meshproof"}
    notes = metadata.pop("annotations", GONE)
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels, "annotations": notes, **metadata},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": name, "labels": labels},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels, "annotations": notes},
            "rules": [],
        },
    ]
    kubectl("apply", "-f", "-", text="\n---\n".join(map(json.dumps, objects)))


def release(kind: str, name: str, *where: str) -> None:
    kubectl("patch", kind, name, *where, "--type=merge", '-p={"metadata":{"finalizers":null}}')


@pytest.mark.parametrize("holder", ["ConfigMap", "namespace"])
def test_a_namespace_that_is_stuck_is_named_with_what_holds_it(
    before: set[str],
    holder: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, finalizer = "meshproof-stuck", "planted.test/hold"
    monkeypatch.setattr(timeouts, "NAMESPACE_END", 8.0)
    if holder == "namespace":
        create_namespace(name, finalizers=[finalizer])
    else:
        create_namespace(name)
        patch = json.dumps({"metadata": {"finalizers": [finalizer]}})
        kubectl("patch", "configmap", "held", "-n", name, "--type=merge", f"-p={patch}")
    try:
        assert main(["cleanup"]) == 69
        output = capsys.readouterr().out
        assert f"namespace {name} does not go: " in output
        if holder == "namespace":
            assert f"the namespace itself has the finalizers {finalizer}" in output
        else:
            assert "configmaps. has 1 resource instances" in output
            assert f"{finalizer} in 1 resource instances" in output
            assert f"ConfigMap {name}/held has the finalizers {finalizer}" in output
        assert f"deleted: ClusterRole {name}" in output
    finally:
        if holder == "namespace":
            release("namespace", name)
        else:
            release("configmap", "held", "-n", name)
    assert main(["cleanup"]) == 0
    assert everything() == before


@pytest.mark.parametrize(
    "notes", [{}, {"meshproof/owner": "x"}, {**GONE, "meshproof/until": "soon"}]
)
def test_what_does_not_tell_whose_it_is_is_named_and_stays(
    before: set[str], notes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "meshproof-unclear"
    create_namespace(name, annotations=notes)
    try:
        planted = everything()
        assert main(["cleanup"]) == 1
        output = capsys.readouterr().out
        assert f"unclear, not touched: Namespace {name} (run {name}: annotation" in output
        assert everything() == planted
        assert main(["cleanup", "--run", name, "--dry-run"]) == 0
        assert everything() == planted
    finally:
        assert main(["cleanup", "--run", name]) == 0
    assert everything() == before


def test_evidence_of_a_crash_holds_what_the_app_said_and_no_secret(tmp_path: Path) -> None:
    ended = run_with("leaking crash", "rotation", tmp_path)
    assert ended.code == 69, ended.output
    assert "reviews-v2" in ended.message("default rotation")
    (result,) = ended.run.results
    folder = Path(result.diagnosis)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert "not-saved.txt" not in files, files["not-saved.txt"]
    assert {"pods.json", "objects.json", "proxy-status.txt"} <= set(files)
    pod = next(name.partition(".")[0] for name in files if "reviews-v2" in name)
    assert "starting with password=[redacted]" in files[f"{pod}.reviews.previous.log"]
    assert "CrashLoopBackOff" in files[f"{pod}.describe.txt"]
    assert "BackOff" in files[f"{pod}.describe.txt"].partition("events: ")[2]
    assert [name for name in files if name.endswith(".config_dump.json")]
    assert any("own_config" in name for name in files)
    assert "SYNCED" in files["proxy-status.txt"]
    assert '"VirtualService"' in files["objects.json"]
    report_files = [path for path in (tmp_path / "report").rglob("*") if path.is_file()]
    assert len(report_files) > len(files)
    assert not [str(path) for path in report_files if PLANTED in path.read_text(errors="replace")]
    assert PLANTED not in ended.output
