"""After kill -9 the next run works and clears what was left; what lives is never touched."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.mesh.process import processes
from meshproof.mesh.process.processes import Process, Workspace
from tests.robust.real_runs import MESHPROOF, Place, end, until


def delays(seed: int, count: int) -> list[float]:
    draw = random.Random(seed)
    return [0.2 * number + 0.2 * draw.random() for number in range(count)]


def kill(place: Place, delay: float) -> None:
    """Kill a run so long after it has made its folder."""
    started = place.start(*MESHPROOF, "test")
    until(place.runs, started)
    time.sleep(delay)
    started.kill()
    started.communicate()


@pytest.mark.parametrize("delay", delays(4, 6))
def test_the_next_run_works_and_clears_what_was_left(place: Place, delay: float) -> None:
    kill(place, delay)
    assert place.runs()
    ended = place.run(*MESHPROOF, "test", "-k", "rotation")
    assert ended.code == 0, ended.said
    place.assert_nothing_left()


def test_mesh_commands_do_not_take_what_was_left_for_a_mesh(place: Place) -> None:
    kill(place, 0.5)
    assert place.run(*MESHPROOF, "mesh", "status").said == "No mesh was left running.\n"
    assert place.run(*MESHPROOF, "mesh", "up").code == 0
    assert len(place.runs()) == 1
    assert place.run(*MESHPROOF, "mesh", "down").said == "Ended 1 mesh.\n"
    place.assert_nothing_left()


@pytest.fixture
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all runs, elsewhere than that of this machine's other runs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path / f"meshproof-{os.getuid()}"
    for workspace in processes.runs():
        workspace.close()


def sleep(workspace: Workspace) -> Process:
    return workspace.start("sleep", ["sleep", "99"])


def abandon(workspace: Workspace) -> None:
    """Let go of a run as the kernel does for an owner that was killed."""
    assert workspace._lock is not None
    os.close(workspace._lock)
    workspace._lock = workspace.owner = None


def test_a_run_whose_owner_lives_is_not_touched(own_tmp: Path) -> None:
    with Workspace.create() as workspace:
        sleeping = sleep(workspace)
        code = "from meshproof.mesh.process.processes import Workspace; Workspace.create().close()"
        env = {**os.environ, "TMPDIR": str(own_tmp.parent)}
        subprocess.run([sys.executable, "-c", code], check=True, env=env)
        processes.sweep()
        assert sleeping.alive
        assert workspace.path.is_dir()
    assert not own_tmp.exists()


def test_a_run_whose_owner_is_gone_is_cleared_whoever_has_its_pid_now(own_tmp: Path) -> None:
    workspace = Workspace.create()  # its name has the pid of this process, which lives
    assert workspace.path.name.startswith(f"run-{os.getpid()}-")
    sleeping = sleep(workspace)
    abandon(workspace)
    processes.sweep()
    assert not workspace.path.exists()
    sleeping.wait(5)
    assert not sleeping.alive


def test_a_kept_run_is_cleared_only_when_nothing_of_it_lives(own_tmp: Path) -> None:
    workspace = Workspace.create()
    sleeping = sleep(workspace)
    workspace.keep("{}")
    abandon(workspace)
    processes.sweep()
    assert sleeping.alive
    assert workspace.kept == "{}"
    sleeping.terminate()
    sleeping.wait(5)
    processes.sweep()
    assert not workspace.path.exists()


def test_what_has_lost_its_folder_and_its_owner_is_ended(place: Place) -> None:
    kill(place, 1.0)
    left = place.processes()
    assert left
    shutil.rmtree(place.runs()[0])
    assert place.run(*MESHPROOF, "mesh", "up").code == 0
    assert not {one.pid for one in left} & {one.pid for one in place.processes()}
    assert place.run(*MESHPROOF, "mesh", "down").code == 0
    place.assert_nothing_left()


def test_a_folder_of_another_name_is_left_alone(own_tmp: Path) -> None:
    with Workspace.create():
        (own_tmp / "run-of-somebody").mkdir()
        processes.sweep()
        assert (own_tmp / "run-of-somebody").is_dir()
        (own_tmp / "run-of-somebody").rmdir()


def test_what_a_process_has_started_is_cleared_too(own_tmp: Path) -> None:
    with Workspace.create() as workspace:
        code = "import os, time; os.setsid() if os.fork() == 0 else None; time.sleep(99)"
        workspace.start("forks", [sys.executable, "-c", code])
        deadline = time.monotonic() + 10
        while len(processes.marked(workspace.path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        started = processes.marked(workspace.path)
        assert len(started) == 2
    assert not any(one.is_running() and one.status() != "zombie" for one in started)


def test_an_exit_without_an_end_ends_the_run(place: Place) -> None:
    code = (
        "from meshproof.mesh.process.processes import Workspace\n"
        "workspace = Workspace.create()\n"
        "workspace.start('sleep', ['sleep', '99'])\n"
    )
    assert place.run(sys.executable, "-c", code).code == 0
    place.assert_nothing_left()


def test_a_child_that_was_forked_does_not_end_its_parents_run(place: Place) -> None:
    code = (
        "import os, sys\n"
        "from meshproof.mesh.process import processes as process\n"
        "with process.Workspace.create() as workspace:\n"
        "    workspace.start('sleep', ['sleep', '99'])\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        process._close_open()\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    assert len(process.marked(workspace.path)) == 1\n"
    )
    ended = end(place.start(sys.executable, "-c", code))
    assert ended.code == 0, ended.said
    place.assert_nothing_left()
