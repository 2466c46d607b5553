"""After kill -9 the next run works and clears the leftovers; it never touches a live run."""

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
from tests.robust.real_runs import MESHPROOF, CommandRunner, wait_for_end, wait_until


def draw_delays(seed: int, count: int) -> list[float]:
    draw = random.Random(seed)
    return [0.2 * number + 0.2 * draw.random() for number in range(count)]


def kill_run(runner: CommandRunner, delay: float) -> None:
    """Kill a run `delay` seconds after it has made its folder."""
    process = runner.start(*MESHPROOF, "test")
    wait_until(runner.find_run_folders, process)
    time.sleep(delay)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("delay", draw_delays(4, 6))
def test_the_next_run_works_and_clears_what_was_left(runner: CommandRunner, delay: float) -> None:
    kill_run(runner, delay)
    assert runner.find_run_folders()
    result = runner.run(*MESHPROOF, "test", "-k", "rotation")
    assert result.code == 0, result.output
    runner.assert_no_leftovers()


def test_mesh_commands_do_not_take_what_was_left_for_a_mesh(runner: CommandRunner) -> None:
    kill_run(runner, 0.5)
    assert runner.run(*MESHPROOF, "mesh", "status").output == "No mesh was left running.\n"
    assert runner.run(*MESHPROOF, "mesh", "up").code == 0
    assert len(runner.find_run_folders()) == 1
    assert runner.run(*MESHPROOF, "mesh", "down").output == "Ended 1 mesh.\n"
    runner.assert_no_leftovers()


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all runs of this test, apart from the other runs of this machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path / f"meshproof-{os.getuid()}"
    for workspace in processes.list_runs():
        workspace.close()


def start_sleep(workspace: Workspace) -> Process:
    return workspace.start("sleep", ["sleep", "99"])


def release_lock(workspace: Workspace) -> None:
    """Release the lock of a run, as the kernel does for an owner that was killed."""
    assert workspace._lock is not None
    os.close(workspace._lock)
    workspace._lock = workspace.owner = None


def test_a_run_whose_owner_lives_is_not_touched(runs_folder: Path) -> None:
    with Workspace.create() as workspace:
        sleeping = start_sleep(workspace)
        code = "from meshproof.mesh.process.processes import Workspace; Workspace.create().close()"
        env = {**os.environ, "TMPDIR": str(runs_folder.parent)}
        subprocess.run([sys.executable, "-c", code], check=True, env=env)
        processes.clear_dead_runs()
        assert sleeping.is_alive
        assert workspace.path.is_dir()
    assert not runs_folder.exists()


def test_a_run_whose_owner_is_gone_is_cleared_whoever_has_its_pid_now(runs_folder: Path) -> None:
    workspace = Workspace.create()  # its name has the pid of this process, which lives
    assert workspace.path.name.startswith(f"run-{os.getpid()}-")
    sleeping = start_sleep(workspace)
    release_lock(workspace)
    processes.clear_dead_runs()
    assert not workspace.path.exists()
    sleeping.wait(5)
    assert not sleeping.is_alive


def test_a_kept_run_is_cleared_only_when_nothing_of_it_lives(runs_folder: Path) -> None:
    workspace = Workspace.create()
    sleeping = start_sleep(workspace)
    workspace.leave_running("{}")
    release_lock(workspace)
    processes.clear_dead_runs()
    assert sleeping.is_alive
    assert workspace.kept_state == "{}"
    sleeping.terminate()
    sleeping.wait(5)
    processes.clear_dead_runs()
    assert not workspace.path.exists()


def test_what_has_lost_its_folder_and_its_owner_is_ended(runner: CommandRunner) -> None:
    kill_run(runner, 1.0)
    orphans = runner.processes()
    assert orphans
    shutil.rmtree(runner.find_run_folders()[0])
    assert runner.run(*MESHPROOF, "mesh", "up").code == 0
    assert not {process.pid for process in orphans} & {
        process.pid for process in runner.processes()
    }
    assert runner.run(*MESHPROOF, "mesh", "down").code == 0
    runner.assert_no_leftovers()


def test_a_folder_of_another_name_is_left_alone(runs_folder: Path) -> None:
    with Workspace.create():
        (runs_folder / "run-of-somebody").mkdir()
        processes.clear_dead_runs()
        assert (runs_folder / "run-of-somebody").is_dir()
        (runs_folder / "run-of-somebody").rmdir()


def test_what_a_process_has_started_is_cleared_too(runs_folder: Path) -> None:
    with Workspace.create() as workspace:
        code = "import os, time; os.setsid() if os.fork() == 0 else None; time.sleep(99)"
        workspace.start("forks", [sys.executable, "-c", code])
        deadline = time.monotonic() + 10
        while len(processes.find_run_processes(workspace.path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        started_processes = processes.find_run_processes(workspace.path)
        assert len(started_processes) == 2
    assert not any(
        process.is_running() and process.status() != "zombie" for process in started_processes
    )


def test_an_exit_without_an_end_ends_the_run(runner: CommandRunner) -> None:
    code = (
        "from meshproof.mesh.process.processes import Workspace\n"
        "workspace = Workspace.create()\n"
        "workspace.start('sleep', ['sleep', '99'])\n"
    )
    assert runner.run(sys.executable, "-c", code).code == 0
    runner.assert_no_leftovers()


def test_a_child_that_was_forked_does_not_end_its_parents_run(runner: CommandRunner) -> None:
    code = (
        "import os, sys\n"
        "from meshproof.mesh.process import processes as process\n"
        "with process.Workspace.create() as workspace:\n"
        "    workspace.start('sleep', ['sleep', '99'])\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        process._close_open_workspaces()\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    assert len(process.find_run_processes(workspace.path)) == 1\n"
    )
    result = wait_for_end(runner.start(sys.executable, "-c", code))
    assert result.code == 0, result.output
    runner.assert_no_leftovers()
