"""A run is private to its user and its machine: folder, keys, sockets; it starts no shell."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.process import processes
from meshproof.mesh.process.processes import Workspace


def read_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_the_users_alone(bookinfo: LocalMesh) -> None:
    for folder in (bookinfo.workspace.path, bookinfo.workspace.path.parent):
        assert read_mode(folder) == 0o700
        assert folder.stat().st_uid == os.getuid()


def test_keys_are_the_users_alone(bookinfo: LocalMesh) -> None:
    keys = list(bookinfo.workspace.path.rglob("*.key"))
    assert keys
    assert {read_mode(key) for key in keys} == {0o600}


def test_nothing_listens_beyond_loopback(bookinfo: LocalMesh) -> None:
    listen_addresses = {}
    for process in processes.find_run_processes(bookinfo.workspace.path):
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN or socket.type != 1:
                listen_addresses[process.pid, socket.laddr.port] = socket.laddr.ip
    pods = len(bookinfo.replicas())
    # For each pod an app, an admin, an inbound and an outbound listener; the ingress has two.
    assert len(listen_addresses) == 4 * pods + 2
    assert set(listen_addresses.values()) == {"127.0.0.1"}


def test_no_shell_is_between_us_and_the_processes(bookinfo: LocalMesh) -> None:
    started_processes = processes.find_run_processes(bookinfo.workspace.path)
    assert len(started_processes) == 2 * len(bookinfo.replicas()) + 1
    assert {process.ppid() for process in started_processes} == {os.getpid()}
    assert {Path(process.exe()).name.rstrip("0123456789.") for process in started_processes} == {
        "envoy",
        "python",
    }


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"meshproof-{os.getuid()}"


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file", "another's"])
def test_a_folder_that_others_may_have_made_is_refused(
    runs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        runs_folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "a file":
        runs_folder.touch(mode=0o600)
    else:
        runs_folder.mkdir(mode=0o755 if kind == "open to others" else 0o700)
    if kind == "another's":
        uid = os.getuid()
        runs_folder.rename(tmp_path / f"meshproof-{uid + 1}")
        monkeypatch.setattr("os.getuid", lambda: uid + 1)
    with pytest.raises(NotReady, match="must be a folder that only you can open"):
        Workspace.create()


def test_no_place_for_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(NotReady, match="no folder for the run can be made: No such file"):
        Workspace.create()
