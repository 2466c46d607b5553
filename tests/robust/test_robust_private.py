"""A run is private to its user and its machine: folder, keys, sockets; no shell is started."""

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


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_the_users_alone(bookinfo: LocalMesh) -> None:
    for folder in (bookinfo.workspace.path, bookinfo.workspace.path.parent):
        assert mode(folder) == 0o700
        assert folder.stat().st_uid == os.getuid()


def test_keys_are_the_users_alone(bookinfo: LocalMesh) -> None:
    keys = list(bookinfo.workspace.path.rglob("*.key"))
    assert keys
    assert {mode(key) for key in keys} == {0o600}


def test_nothing_listens_beyond_loopback(bookinfo: LocalMesh) -> None:
    listening = {}
    for one in processes.marked(bookinfo.workspace.path):
        for socket in one.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN or socket.type != 1:
                listening[one.pid, socket.laddr.port] = socket.laddr.ip
    pods = len(bookinfo.replicas())
    # For each pod an app, an admin, an inbound and an outbound listener; the ingress has two.
    assert len(listening) == 4 * pods + 2
    assert set(listening.values()) == {"127.0.0.1"}


def test_no_shell_is_between_us_and_the_processes(bookinfo: LocalMesh) -> None:
    started = processes.marked(bookinfo.workspace.path)
    assert len(started) == 2 * len(bookinfo.replicas()) + 1
    assert {one.ppid() for one in started} == {os.getpid()}
    assert {Path(one.exe()).name.rstrip("0123456789.") for one in started} == {"envoy", "python"}


@pytest.fixture
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"meshproof-{os.getuid()}"


@pytest.mark.parametrize("what", ["open to others", "a link", "a file", "another's"])
def test_a_folder_that_others_may_have_made_is_refused(
    own_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        own_tmp.symlink_to(tmp_path / "elsewhere")
    elif what == "a file":
        own_tmp.touch(mode=0o600)
    else:
        own_tmp.mkdir(mode=0o755 if what == "open to others" else 0o700)
    if what == "another's":
        uid = os.getuid()
        own_tmp.rename(tmp_path / f"meshproof-{uid + 1}")
        monkeypatch.setattr("os.getuid", lambda: uid + 1)
    with pytest.raises(NotReady, match="must be a folder that only you can open"):
        Workspace.create()


def test_no_place_for_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(NotReady, match="no folder for the run can be made: No such file"):
        Workspace.create()
