"""The evidence of a run: what is saved, that no planted secret is in it, and when it is saved."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from meshproof.base import signals, timeouts
from meshproof.base.clues import Clue
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api import kubeconfig
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.run import evidence, leftovers
from meshproof.mesh.protocol import Options

PLANTED = "hunter2-Zq9"
NAMESPACE = "meshproof-x"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"


def pod(name: str, ready: bool, restarts: int = 0) -> dict[str, Any]:
    env = [
        {"name": "DB_PASSWORD", "value": PLANTED},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
    ]
    app = {"name": "app", "ready": ready, "restartCount": restarts, "state": {"running": {}}}
    if restarts:
        ended = {"exitCode": 1, "reason": "Error", "message": f"token={PLANTED}"}
        app["lastState"] = {"terminated": ended}
        app["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "labels": {"app": name}},
        "spec": {
            "nodeName": "node",
            "containers": [{"name": "app", "image": "shop:1", "env": env}, {"name": "istio-proxy"}],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                app,
                {"name": "istio-proxy", "ready": True, "restartCount": 0, "state": {"running": {}}},
            ],
        },
    }


class Cluster:
    """Stands in for the client: two pods, one of which crashes, with secrets in everything."""

    def __init__(self) -> None:
        self.applied_kinds = {("v1", "Secret"), ("v1", "ConfigMap"), ("v1", "Pod")}
        self.listed: set[str] = set()
        self.logs: list[tuple[str, str, bool]] = []
        self.slow: set[str] = set()

    @contextlib.contextmanager
    def retrying_for(self, seconds: float) -> Iterator[None]:
        yield

    def has_kind(self, _version: str, _kind: str) -> bool:
        return True

    def list(self, _version: str, kind: str, *_where: str) -> list[dict[str, Any]]:
        self.listed.add(kind)
        if kind == "Pod":
            return [pod("good", ready=True), pod("bad", ready=False, restarts=3)]
        if kind == "Event":
            about = {"name": "bad", "uid": "bad"}
            text = f"Error: Authorization: Bearer {PLANTED}"
            return [{"involvedObject": about, "message": text, "type": "Warning", "reason": "R"}]
        if kind == "ConfigMap":
            return [{"kind": kind, "metadata": {"name": "c"}, "data": {"a": f"password={PLANTED}"}}]
        return []

    def read_log(self, name: str, _space: str, container: str, _lines: int, previous: bool) -> str:
        self.logs.append((name, container, previous))
        return f"line\ncookie: session={PLANTED}\n{PEM}\n"


def dump(*_arguments: object) -> str:
    header = {"header": {"key": "authorization", "value": f"Basic {PLANTED}"}}
    return json.dumps({"configs": [{"request_headers_to_add": [header], "kept": "yes"}]})


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(evidence, "get_from_pod", dump)
    monkeypatch.setattr(proxies, "read_run_parts", lambda *_: [{"name": "own", "token": PLANTED}])
    return Cluster()


def saved(kube: Cluster, folder: Path) -> list[Clue]:
    gateway = proxies.Proxy("gateway-0", "istio-system", gateway=True)
    run = evidence.EvidenceSources(
        [NAMESPACE], "a=b", "x", lambda: ["good.x 1.31 SYNCED"], lambda: [gateway]
    )
    return evidence.save(cast("Kube", kube), run, folder)


def test_evidence_is_saved_without_secrets(kube: Cluster, tmp_path: Path) -> None:
    clues = saved(kube, tmp_path)
    assert Clue("meshproof-x/bad", "container app was restarted 3 times") in clues
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(files) == {
        "pods.json",
        f"events-{NAMESPACE}.json",
        "objects.json",
        "proxy-status.txt",
        "gateway-0.own_config.json",
        "bad.describe.txt",
        "bad.app.log",
        "bad.app.previous.log",
        "bad.istio-proxy.log",
        "bad.config_dump.json",
        "good.app.log",
        "good.istio-proxy.log",
        "good.config_dump.json",
    }
    assert not [name for name, text in files.items() if PLANTED in text]
    assert "[redacted]" in files["bad.app.previous.log"]
    assert json.loads(files["good.config_dump.json"])["configs"][0]["kept"] == "yes"
    assert "Secret" not in kube.listed


def test_of_a_large_config_what_is_the_runs_is_saved(
    kube: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = json.dumps({"configs": [{"of": "others", "text": "x" * 1000}] * 30_000})
    monkeypatch.setattr(evidence, "get_from_pod", lambda *_: large)
    saved(kube, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in names if name.endswith("config_dump.json")]
    assert {"good.own_config.json", "bad.own_config.json"} <= names
    assert "good: of a config of 31 MB only" in (tmp_path / "not-saved.txt").read_text()
    assert PLANTED not in (tmp_path / "good.own_config.json").read_text()


def test_a_failing_pod_is_described(kube: Cluster, tmp_path: Path) -> None:
    saved(kube, tmp_path)
    text = (tmp_path / "bad.describe.txt").read_text()
    assert "pod meshproof-x/bad\nnode node, phase Running" in text
    assert "ready False, restarts 3" in text
    assert 'state waiting: {"reason": "CrashLoopBackOff"}' in text
    assert 'lastState terminated: {"exitCode": 1, "message": "token=[redacted]"' in text
    assert '"secretKeyRef": {"key": "api", "name": "keys"}' in text
    assert "Warning R: Error: Authorization: [redacted]" in text


def test_unreadable_parts_are_listed_and_the_rest_is_saved(
    kube: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> str:
        raise NotReady("port 15000 does not answer")

    monkeypatch.setattr(evidence, "get_from_pod", refused)
    facts = " ".join(clue.fact for clue in saved(kube, tmp_path))
    assert "port 15000" not in facts, "that is nothing of the mesh"
    lines = (tmp_path / "not-saved.txt").read_text().splitlines()
    assert lines == ["port 15000 does not answer"] * 2
    assert (tmp_path / "good.app.log").exists()
    assert not (tmp_path / "good.config_dump.json").exists()


def test_saving_comes_to_an_end(
    kube: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "EVIDENCE", -1.0)
    assert saved(kube, tmp_path) == [Clue("", "the evidence is not complete after -1 s")]
    assert not kube.logs


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cluster mesh on no cluster: what it saves and deletes, in order."""
    happened: list[str] = []
    istio = Istio("istio-system", "", "1.31", (), "istio-system/istio-ingressgateway")

    def save(_kube: object, _run: object, folder: Path) -> list[Clue]:
        happened.append(f"saved {folder.name[:5]}")
        return [Clue("a pod", "something looks wrong")]

    monkeypatch.setattr(kubeconfig, "choose_context", lambda options: options)
    monkeypatch.setattr(Kube, "connected", lambda *_: contextlib.nullcontext(Cluster()))
    monkeypatch.setattr(Istio, "find", lambda *_: istio)
    monkeypatch.setattr(leftovers, "clear_dead_runs", lambda _: [])
    monkeypatch.setattr(leftovers, "end_run", lambda *_: happened.append("deleted"))
    monkeypatch.setattr(evidence, "save", save)
    return happened


def stopped(error: BaseException, folder: Path | None, names: list[str]) -> BaseException:
    """Return what comes out of a mesh that an error ends."""

    def run() -> None:
        with ClusterMesh.opened(Options(evidence=folder)) as mesh:
            mesh._app_namespaces = names
            raise error

    with pytest.raises(type(error)) as excinfo:
        run()
    return excinfo.value


@pytest.mark.parametrize("error", [NotReady("no pod"), KeyboardInterrupt(), ValueError("own")])
def test_evidence_is_saved_before_all_goes(
    events: list[str], tmp_path: Path, error: BaseException
) -> None:
    raised = stopped(error, tmp_path, [NAMESPACE])
    assert events == ["saved mesh-", "deleted"]
    if isinstance(raised, NotReady):
        assert Path(raised.diagnosis).parent == tmp_path
        assert raised.clues == (Clue("a pod", "something looks wrong"),)


def test_nothing_is_saved_without_namespaces_or_a_folder(events: list[str], tmp_path: Path) -> None:
    assert not cast("NotReady", stopped(NotReady("x"), tmp_path, [])).diagnosis
    assert not cast("NotReady", stopped(NotReady("x"), None, [NAMESPACE])).diagnosis
    assert events == ["deleted", "deleted"]


def test_evidence_that_a_signal_cuts_short_is_completed(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evidence.save

    def cut_short(*_arguments: object) -> list[Clue]:
        monkeypatch.setattr(evidence, "save", whole)
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence, "save", cut_short)
    with ClusterMesh.opened(Options(evidence=tmp_path)) as mesh:
        mesh._app_namespaces = [NAMESPACE]
        with pytest.raises(KeyboardInterrupt):
            mesh.diagnose(tmp_path / "first")
    assert events == ["saved first", "deleted"]


def test_a_failed_save_prevents_no_deletion(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> list[Clue]:
        assert not signals.is_pending()
        raise OSError("disk is full")

    monkeypatch.setattr(evidence, "save", refused)
    stopped(NotReady("x"), tmp_path, [NAMESPACE])
    assert events == ["deleted"]


CONFTEST = """
import contextlib

import pytest

from meshproof.base.clues import Clue
from meshproof.base.errors import NotReady

@pytest.fixture(scope="session")
def mesh():
    error = NotReady("reviews does not come up")
    error.diagnosis = "report/diagnosis/mesh-x"
    error.clues = (Clue("shop/reviews", "it has no sidecar"),)
    raise error
"""


def test_a_mesh_that_does_not_come_up_leads_to_its_evidence(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_one(mesh): pass\ndef test_two(mesh): pass")
    pytester.runpytest_subprocess("--mesh-report=report")
    results = json.loads((pytester.path / "report" / "run.json").read_text())["results"]
    assert len(results) == 2
    for result in results:
        assert result["outcome"] == "mesh not ready"
        assert result["failure"]["diagnosis"] == "report/diagnosis/mesh-x"
        assert {"subject": "shop/reviews", "fact": "it has no sidecar"} in result["failure"][
            "clues"
        ]


CONFTEST_WITH_MESH = """
import pytest

from meshproof.base.clues import Clue

class Mesh:
    name, served, standins, notes = "local", None, [], []

    def diagnose(self, folder):
        return [Clue("shop/reviews", "its app has ended")]

@pytest.fixture(scope="session")
def mesh():
    return Mesh()
"""
REFUSED = """
from meshproof.base.clues import Clue
from meshproof.base.errors import NotReady

def test_one(mesh):
    error = NotReady("no proxy serves the rules")
    error.clues = (Clue("v1.yaml:3", "there is no Service reviews"),)
    raise error
"""


def test_the_clues_of_an_error_come_before_those_of_its_mesh(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST_WITH_MESH)
    pytester.makepyfile(REFUSED)
    pytester.runpytest_subprocess("--mesh-report=report")
    (result,) = json.loads((pytester.path / "report" / "run.json").read_text())["results"]
    assert result["failure"]["clues"] == [
        {"subject": "v1.yaml:3", "fact": "there is no Service reviews"},
        {"subject": "shop/reviews", "fact": "its app has ended"},
    ]
