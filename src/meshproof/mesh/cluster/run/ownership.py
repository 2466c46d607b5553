"""Whose an object of a cluster is, and whether that run still goes on: its annotations say it.

On the machine where the run was started the lock on its folder tells, which the kernel drops when
the process ends, however it ends. Elsewhere the run's own latest end does. A machine is told by its
host name, the id of its boot (proc(5), /proc/sys/kernel/random/boot_id) and the mount namespace:
containers share the boot, not the folders. Where annotations do not tell, nothing is guessed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from meshproof.base import timeouts

#: Who runs it, and until when at most: what tells a leftover from a run that goes on.
OWNER = "meshproof/owner"
UNTIL = "meshproof/until"
_FOLDER = re.compile(r"/.*/run-(\d+)-[0-9a-f]{8}")


class RunState(StrEnum):
    """Whether a run goes on."""

    LIVES = "lives"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunStatus:
    """Whether a run goes on, and in words by what that is known."""

    state: RunState
    reason: str


def identify_machine() -> str:
    """Return what tells this machine, as its processes see it, from any other: three words."""
    boot, mounts = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    with contextlib.suppress(OSError):
        mounts = str(os.stat("/proc/self/ns/mnt").st_ino)
    return f"{socket.gethostname()}:{boot}:{mounts}"


def owner_annotations(folder: Path) -> dict[str, str]:
    """Return the annotations of what a run creates whose process holds the lock on `folder`."""
    latest_end = datetime.now(UTC) + timedelta(seconds=timeouts.RUN_LIFE)
    return {
        OWNER: f"{identify_machine()}:{folder}",
        UNTIL: latest_end.isoformat(timespec="seconds"),
    }


def read_run_status(annotations: Mapping[str, str]) -> RunStatus:
    """Say from the annotations of what a run has created whether it goes on."""
    owner, until_text = str(annotations.get(OWNER, "")), str(annotations.get(UNTIL, ""))
    host, boot, mounts, folder = (*owner.split(":", 3), "", "", "", "")[:4]
    folder_match = _FOLDER.fullmatch(folder)
    if not host or folder_match is None:
        return RunStatus(RunState.UNKNOWN, f"annotation {OWNER} is {_describe_unreadable(owner)}")
    process = int(folder_match[1])
    if f"{host}:{boot}:{mounts}" == identify_machine():
        is_locked = _is_locked(Path(folder), process)
        if is_locked is not None:
            outcome = "runs" if is_locked else "has ended"
            state = RunState.LIVES if is_locked else RunState.GONE
            return RunStatus(state, f"its process {process} {outcome} on this machine")
    latest_end = _parse_time(until_text)
    if latest_end is None:
        return RunStatus(
            RunState.UNKNOWN, f"annotation {UNTIL} is {_describe_unreadable(until_text)}"
        )
    if latest_end < datetime.now(UTC):
        return RunStatus(
            RunState.GONE, f"it was to end by {until_text} (process {process} of {host})"
        )
    return RunStatus(RunState.LIVES, f"process {process} of {host} may run until {until_text}")


def _describe_unreadable(text: str) -> str:
    return f"not readable: '{text}'" if text else "missing"


def _parse_time(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        timestamp = datetime.fromisoformat(text)
        return timestamp if timestamp.tzinfo else None
    return None


def _is_locked(folder: Path, process: int) -> bool | None:
    """Say whether a process of this machine holds a run; None where that cannot be told.

    That is so for the folder of another user, and where the folder alone is gone (a cleaner of
    temporary files) while there is a process of the number that made it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        import psutil

        return None if psutil.pid_exists(process) else False
    except OSError:
        return None
    try:
        # Shared: two that look at the same time do not take each other for the owner.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
