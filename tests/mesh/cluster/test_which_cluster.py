"""Which cluster is meant, in a pod and outside: our client and istioctl go to the same one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes.config import incluster_config

from meshproof.base.errors import MeshproofError, NotReady, UsageError
from meshproof.mesh.cluster import mesh
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.kubeconfig import NoCluster, choose_context, make_client
from meshproof.mesh.cluster.istio import install
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.cluster.run import leftovers
from meshproof.mesh.protocol import ClusterOptions, Options


def config(folder: Path, *names: str, current: str = "") -> str:
    """Write a kubeconfig with contexts; return its path."""
    file = folder / f"config-{'-'.join(names) or 'none'}"
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}"}} for name in names],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
        **({"current-context": current} if current else {}),
    }
    file.write_text(yaml.safe_dump(kubeconfig))
    return str(file)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a kubeconfig."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(f"KUBERNETES_SERVICE_{name}", raising=False)
    return tmp_path


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pod with a ServiceAccount has."""
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


NONE = ClusterOptions()


def reached(options: ClusterOptions = NONE) -> tuple[str, str]:
    """Return the address that a client takes, and its context."""
    api, context = make_client(options)
    return api.configuration.host, context


@pytest.mark.usefixtures("pod")
def test_in_a_pod_kubeconfig_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", config(home, "staging", current="staging"))
    assert reached() == ("http://staging", "staging")


@pytest.mark.usefixtures("pod")
def test_in_a_pod_the_file_of_ones_home_comes_first(home: Path) -> None:
    (home / ".kube").mkdir()
    Path(config(home, "mine", current="mine")).rename(home / ".kube" / "config")
    assert reached() == ("http://mine", "mine")


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("file", [False, True], ids=["no file", "a file without a context"])
def test_in_a_pod_its_own_cluster_is_the_last(
    home: Path, file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    if file:
        (home / ".kube").mkdir()
        Path(config(home)).rename(home / ".kube" / "config")
    assert reached() == ("https://10.96.0.1:443", "")
    assert not choose_context(ClusterOptions()).context


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("broken", ["", "{", "- x"])
def test_a_kubeconfig_that_names_no_cluster_is_not_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(home / "staging"))
    with pytest.raises(NoCluster, match="staging: there is no such file"):
        reached()
    (home / "staging").write_text(broken)
    with pytest.raises(NoCluster, match=r"no current-context|is no YAML|is no kubeconfig"):
        reached()


def test_outside_there_may_be_no_cluster() -> None:
    with pytest.raises(NoCluster, match=r"no cluster: ~/\.kube/config: there is no such file"):
        reached()


def test_of_several_files_the_first_says_which(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [config(home, "one", current="one"), config(home, "two", current="two")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(files))
    assert reached() == ("http://one", "one")
    assert reached(ClusterOptions(context="two")) == ("http://two", "two")


def test_a_context_is_found_without_a_current_one(home: Path) -> None:
    file = config(home, "staging")
    assert reached(ClusterOptions(file, "staging")) == ("http://staging", "staging")
    with pytest.raises(UsageError, match=r"--context stagin: no such context.*staging"):
        reached(ClusterOptions(file, "stagin"))


def test_a_context_without_its_cluster_is_said(home: Path) -> None:
    file = Path(config(home, "staging"))
    file.write_text(file.read_text().replace("cluster: staging", "cluster: gone"))
    with pytest.raises(NotReady, match=r"context staging: .*gone"):
        reached(ClusterOptions(str(file), "staging"))


@pytest.mark.usefixtures("pod")
def test_istioctl_acts_on_the_cluster_of_the_client(
    home: Path, istioctl_calls: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", config(home, "staging", current="staging"))
    used: list[ClusterOptions] = []

    class Stopped(MeshproofError):
        """What ends the run once istioctl is known."""

    def make_istioctl(options: ClusterOptions, folder: Path) -> Istioctl:
        used.append(options)
        raise Stopped("seen")

    monkeypatch.setattr(mesh, "Istioctl", make_istioctl)
    monkeypatch.setattr(Kube, "__init__", lambda *_: None)
    monkeypatch.setattr(leftovers, "clear_dead_runs", lambda *_: [])
    monkeypatch.setattr(install, "add_missing_install", lambda _, options: options)
    with pytest.raises(Stopped), ClusterMesh.opened(Options()):
        pass
    Istioctl(used[0], home).run("kube-inject", "--filename=-", text="")
    assert istioctl_calls()[-1][-1] == "--context=staging"
