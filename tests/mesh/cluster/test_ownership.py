"""Whether a run goes on, from the annotations of what it has created."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshproof.mesh.cluster.run.ownership import (
    OWNER,
    UNTIL,
    RunState,
    identify_machine,
    owner_annotations,
    read_run_status,
)
from meshproof.mesh.process.processes import Workspace

PAST = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
FUTURE = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
FOLDER = "/tmp/meshproof-0/run-1-00000000"


def elsewhere(until: str, machine: str = "other:boot:1") -> dict[str, str]:
    return {OWNER: f"{machine}:{FOLDER}", UNTIL: until}


def test_on_its_machine_the_lock_tells_and_no_clock() -> None:
    with Workspace.create() as workspace:
        notes = {**owner_annotations(workspace.path), UNTIL: PAST}
        status = read_run_status(notes)
        assert status.state is RunState.LIVES
        assert status.reason == f"its process {os.getpid()} runs on this machine"
    status = read_run_status({**notes, UNTIL: FUTURE})
    assert status.state is RunState.LIVES, "its folder is gone, its process is not"
    assert "may run until" in status.reason


def test_a_killed_process_is_known_at_once() -> None:
    code = (
        "import os; from meshproof.mesh.process.processes import Workspace; "
        "print(Workspace.create().path, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    notes = owner_annotations(folder)
    assert read_run_status(notes).state is RunState.GONE
    assert folder.exists(), "looking removes nothing"
    shutil.rmtree(folder)
    assert read_run_status(notes).state is RunState.GONE, "no folder, and no process of that number"


@pytest.mark.parametrize("part", [0, 1, 2], ids=["host", "boot", "mounts"])
def test_elsewhere_its_latest_end_tells(part: int) -> None:
    """The same host name, boot or mounts alone do not make it the same machine."""
    parts = identify_machine().split(":")
    parts[part] = "4711"
    machine = ":".join(parts)
    assert read_run_status(elsewhere(FUTURE, machine)).state is RunState.LIVES
    assert read_run_status(elsewhere(PAST, machine)).state is RunState.GONE
    status = read_run_status(elsewhere(PAST, machine))
    assert status.reason.startswith(f"it was to end by {PAST}")


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        ({}, "annotation meshproof/owner is missing"),
        (
            {OWNER: "somebody", UNTIL: PAST},
            "annotation meshproof/owner is not readable: 'somebody'",
        ),
        ({OWNER: f"h:b:1:{'/etc'}", UNTIL: PAST}, "annotation meshproof/owner is not readable"),
        ({OWNER: f":b:1:{FOLDER}", UNTIL: PAST}, "annotation meshproof/owner is not readable"),
        ({OWNER: f"h:b:1:{FOLDER}"}, "annotation meshproof/until is missing"),
        (elsewhere("soon"), "annotation meshproof/until is not readable: 'soon'"),
        (elsewhere("2020-01-01T00:00:00"), "annotation meshproof/until is not readable"),
    ],
    ids=["none", "no machine", "no run's folder", "no host", "no end", "bad end", "no time zone"],
)
def test_annotations_that_do_not_tell_are_named(notes: dict[str, str], why: str) -> None:
    status = read_run_status(notes)
    assert status.state is RunState.UNKNOWN
    assert status.reason.startswith(why)


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can be another user")
def test_another_users_run_is_told_by_its_latest_end(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "closed" / "run-1-00000000"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    code = (
        "import os; from pathlib import Path; "
        "from meshproof.mesh.cluster.run.ownership import owner_annotations, read_run_status; "
        f"notes = owner_annotations(Path({str(folder)!r})); os.setuid(65534); "
        "print(read_run_status(notes).reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "may run until" in done.stdout, done.stderr
