"""A cluster for the run, with a stand-in for kind, minikube, k3d and kubectl on PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.cluster.run.ownership import owner_annotations
from meshproof.mesh.cluster.run.provider import MAKERS, provide_cluster
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import ClusterOptions, Provider

FAKE = (Path(__file__).parent / "fake_provider.sh").read_text()
KUBECONFIG = "apiVersion: v1\nkind: Config\nclusters: []\n"
#: Tools that the stand-in itself calls.
SYSTEM = "/usr/bin:/bin"


class Machine:
    """A machine with the programs that a test puts there."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.clusters, self.log = folder / "clusters", folder / "log"
        self.records = folder / "state" / "meshproof" / "clusters"
        self.programs = folder / "bin"
        for new_folder in (self.clusters, self.programs):
            new_folder.mkdir()
        self.log.touch()
        user_kubeconfig = folder / "their-kubeconfig"
        user_kubeconfig.write_text(KUBECONFIG)
        names = {"LOG": self.log, "CLUSTERS": self.clusters, "KUBECONFIG": user_kubeconfig}
        for name, value in names.items():
            patch.setenv(f"FAKE_{name}", str(value))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setenv("PATH", f"{self.programs}:{SYSTEM}")
        patch.setattr(timeouts, "CLUSTER_ANSWERS", 2)

    def put(self, *names: str) -> None:
        for name in names:
            (self.programs / name).write_text(FAKE)
            (self.programs / name).chmod(0o755)

    def fails(self, verb: str) -> None:
        self._patch.setenv("FAKE_FAILS", verb)

    @property
    def there(self) -> list[str]:
        return sorted(path.name for path in self.clusters.iterdir())

    @property
    def recorded(self) -> list[str]:
        return [path.name for path in self.records.iterdir()] if self.records.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def folder() -> Iterator[Path]:
    with Workspace.create() as workspace:
        yield workspace.path


def make_options(name: str, config: str = "", kubeconfig: str = "") -> ClusterOptions:
    return ClusterOptions(kubeconfig, provider=Provider(name, config, "1.35.1"))


@pytest.mark.parametrize("name", MAKERS)
def test_a_cluster_is_made_handed_out_and_deleted(
    machine: Machine, folder: Path, name: str
) -> None:
    machine.put(name, "kubectl")
    before = dict(os.environ)
    with provide_cluster(make_options(name), folder) as options:
        cluster = f"pytest-meshproof-{folder.name.removeprefix('run-')}"
        assert machine.there == [f"{name}-{cluster}"]
        assert machine.recorded == [cluster]
        assert Path(options.kubeconfig).read_text() == KUBECONFIG
        assert Path(options.kubeconfig).parent == folder
    assert machine.there == machine.recorded == []
    assert dict(os.environ) == before
    assert "1.35.1" in machine.log.read_text()


@pytest.mark.parametrize("name", ["kind", "k3d"])
def test_a_config_of_the_user_gets_our_name_so_that_its_cluster_is_deleted(
    machine: Machine, folder: Path, name: str
) -> None:
    machine.put(name, "kubectl")
    config = machine.folder / "its config; touch x.yaml"
    config.write_text("kind: Cluster\nnodes: [{role: control-plane}]\n")
    with provide_cluster(make_options(name, str(config)), folder):
        cluster = f"pytest-meshproof-{folder.name.removeprefix('run-')}"
        assert machine.there == [f"{name}-{cluster}"]
        copy = yaml.safe_load((folder / "provider.yaml").read_text())
        assert copy["nodes"] == [{"role": "control-plane"}]
        assert cluster in (copy.get("name"), copy.get("metadata", {}).get("name"))
    assert machine.there == []
    assert config.exists()
    assert str(config) not in machine.log.read_text()


def test_the_kubeconfig_of_an_external_cluster_stays(machine: Machine, folder: Path) -> None:
    machine.put("kubectl")
    user_kubeconfig = machine.folder / "mine"
    user_kubeconfig.write_text(KUBECONFIG)
    with provide_cluster(
        make_options("external", kubeconfig=str(user_kubeconfig)), folder
    ) as options:
        assert options.kubeconfig != str(user_kubeconfig)
        assert Path(options.kubeconfig).read_text() == KUBECONFIG
    assert user_kubeconfig.read_text() == KUBECONFIG
    assert machine.recorded == []


def test_without_a_provider_nothing_is_asked_for(machine: Machine, folder: Path) -> None:
    with provide_cluster(ClusterOptions("x"), folder) as options:
        assert options == ClusterOptions("x")


def test_one_that_fails_to_start_is_deleted_and_its_words_are_told(
    machine: Machine, folder: Path
) -> None:
    machine.put("kind", "kubectl")
    machine.fails("create")
    with (
        pytest.raises(NotReady, match=r"kind: the cluster \S+ does not start: .*node's image"),
        provide_cluster(make_options("kind"), folder),
    ):
        pytest.fail("it must not get here")
    assert machine.there == machine.recorded == []


@pytest.mark.parametrize(
    ("name", "requested"),
    [
        ("kind", "kindest/node:v1.35.1"),
        ("k3d", "rancher/k3s:v1.35.1-k3s1"),
        ("minikube", "Kubernetes v1.35.1"),
    ],
)
def test_the_version_that_was_asked_for_is_told_where_none_starts(
    machine: Machine, folder: Path, name: str, requested: str
) -> None:
    machine.put(name, "kubectl")
    machine.fails("create")
    with pytest.raises(NotReady) as error, provide_cluster(make_options(name), folder):
        pytest.fail("it must not get here")
    last = str(error.value).splitlines()[-1]
    assert last.startswith(f"it was asked for {requested} (")
    assert last.endswith("; --mesh-provider-version names another")
    assert requested.rpartition(" ")[2] in machine.log.read_text(), "the words of pytest-kubernetes"


def test_the_version_in_a_config_of_the_user_is_not_ours_to_tell(
    machine: Machine, folder: Path
) -> None:
    machine.put("kind", "kubectl")
    machine.fails("create")
    config = machine.folder / "kind.yaml"
    config.write_text("kind: Cluster\n")
    with (
        pytest.raises(NotReady, match=r"node's image$"),
        provide_cluster(make_options("kind", str(config)), folder),
    ):
        pytest.fail("it must not get here")


def test_one_that_does_not_answer_is_deleted(machine: Machine, folder: Path) -> None:
    machine.put("kind", "kubectl")
    machine.fails("ready")
    with (
        pytest.raises(NotReady, match="is not ready"),
        provide_cluster(make_options("kind"), folder),
    ):
        pytest.fail("it must not get here")
    assert machine.there == machine.recorded == []


def test_one_that_is_not_deleted_is_named_and_the_next_run_deletes_it(
    machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put("kind", "kubectl")
    with (
        pytest.raises(NotReady, match=r"pytest-meshproof-\S+ is not deleted: ERROR: cannot delete"),
        provide_cluster(make_options("kind"), folder),
    ):
        machine.fails("delete")
    assert len(machine.there) == len(machine.recorded) == 1
    monkeypatch.delenv("FAKE_FAILS")
    record = machine.records / machine.recorded[0]
    record.write_text(record.read_text().replace(folder.name, "run-4194000-00000000"))
    with Workspace.create() as second, provide_cluster(make_options("kind"), second.path):
        assert [cluster_name.endswith(second.path.name[3:]) for cluster_name in machine.there] == [
            True
        ]
    assert machine.there == machine.recorded == []


def test_the_cluster_of_a_run_that_goes_on_is_left_alone(machine: Machine, folder: Path) -> None:
    machine.put("kind", "kubectl")
    machine.records.mkdir(parents=True)
    (machine.records / "pytest-meshproof-1-x").write_text(
        json.dumps(["kind", owner_annotations(folder)])
    )
    (machine.clusters / "kind-pytest-meshproof-1-x").touch()
    with provide_cluster(make_options("kind"), folder):
        assert "kind-pytest-meshproof-1-x" in machine.there
    assert machine.there == ["kind-pytest-meshproof-1-x"]


@pytest.mark.parametrize("missing", ["kind", "kubectl"])
def test_a_program_that_is_missing_is_named(
    machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    machine.put(*{"kind", "kubectl"} - {missing})
    monkeypatch.setenv("PATH", str(machine.programs))
    with (
        pytest.raises(NotReady, match=f"{missing} is not on PATH: --mesh-provider kind needs it"),
        provide_cluster(make_options("kind"), folder),
    ):
        pytest.fail("it must not get here")


def test_a_path_that_a_shell_would_take_apart_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.put("kind", "kubectl")
    odd = tmp_path / "run-1; touch x"
    odd.mkdir()
    with (
        pytest.raises(NotReady, match="cannot use the path"),
        provide_cluster(make_options("kind"), odd),
    ):
        pytest.fail("it must not get here")


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", None])
def test_a_config_that_cannot_be_read_is_said(
    machine: Machine, folder: Path, text: str | None
) -> None:
    machine.put("kind", "kubectl")
    config = machine.folder / "config.yaml"
    if text is not None:
        config.write_text(text)
    with (
        pytest.raises(UsageError, match=r"--mesh-provider-config .*config.yaml: (cannot|expected)"),
        provide_cluster(make_options("kind", str(config)), folder),
    ):
        pytest.fail("it must not get here")
    assert machine.there == machine.recorded == []


def test_ctrl_c_while_it_starts_deletes_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put("kind", "kubectl")
    monkeypatch.setenv("FAKE_HANGS", "create")
    arguments = ("test", "--mesh", "cluster", "--provider", "kind", "-k", "rotation")
    report = ("--report", str(machine.folder / "report"))
    with subprocess.Popen([sys.executable, "-m", "meshproof", *arguments, *report]) as run:
        until = time.monotonic() + 60
        while not machine.there:
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.1)
        run.terminate()
        assert run.wait(60) == 2
    assert machine.there == machine.recorded == []


@pytest.mark.parametrize(
    ("option_text", "message"),
    [
        ("--mesh-provider knid", "--mesh-provider knid: not one of kind, minikube, k3d, external"),
        ("--mesh-provider knid", "did you mean 'kind'?"),
        ("--mesh-provider external", "which one? Give --mesh-kubeconfig PATH"),
        ("--mesh-provider kind --mesh-context x", "makes a cluster of its own"),
        ("--mesh-provider-config x", "--mesh-provider-config says nothing without"),
        ("--mesh-provider kind --mesh-provider-version new", "a version such as 1.35.0"),
        (
            "--mesh-provider kind --mesh-provider-version v1.35.0",
            "a version such as 1.35.0",
        ),
        (
            "--mesh-provider kind --mesh-provider-version 1.35.1 --mesh-provider-config x",
            "--mesh-provider-version says nothing beside --mesh-provider-config",
        ),
        (
            "--mesh-provider external --mesh-kubeconfig x --mesh-provider-version 1.35.0",
            "--mesh-provider-version: --mesh-provider external makes no cluster",
        ),
    ],
)
def test_a_word_that_cannot_be_used_is_said(
    pytester: pytest.Pytester, option_text: str, message: str
) -> None:
    pytester.makepyfile("def test_it(mesh):\n    pass\n")
    done = pytester.runpytest_inprocess("--mesh", "cluster", *option_text.split())
    assert message in done.stdout.str() + done.stderr.str()
    assert done.ret != 0
