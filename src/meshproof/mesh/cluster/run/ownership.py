"""Tells from annotations who owns an object, and whether that run still goes on.

On the run's own machine, the lock on its folder tells: the kernel drops it when the process ends.
Elsewhere, the run's announced latest end tells. A machine is identified by host name, boot id
(proc(5), /proc/sys/kernel/random/boot_id) and mount namespace, as containers share the boot but not
the folders. Without readable annotations nothing is guessed.
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

#: The annotations that tell a leftover from a live run: its owner, its latest end.
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
    """Whether a run goes on, and how that is known."""

    state: RunState
    reason: str


def identify_machine() -> str:
    """Return what identifies this machine: host name, boot id and mount namespace."""
    boot, mounts = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    with contextlib.suppress(OSError):
        mounts = str(os.stat("/proc/self/ns/mnt").st_ino)
    return f"{socket.gethostname()}:{boot}:{mounts}"


def owner_annotations(folder: Path) -> dict[str, str]:
    """Return the annotations for objects of the process that has locked `folder`."""
    latest_end = datetime.now(UTC) + timedelta(seconds=timeouts.RUN_LIFE)
    return {
        OWNER: f"{identify_machine()}:{folder}",
        UNTIL: latest_end.isoformat(timespec="seconds"),
    }


def read_run_status(annotations: Mapping[str, str]) -> RunStatus:
    """Return from annotations whether the run that created an object goes on."""
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
    """Describe a missing or unreadable annotation."""
    return f"not readable: '{text}'" if text else "missing"


def _parse_time(text: str) -> datetime | None:
    """Return a time with a time zone; None if the text is none."""
    with contextlib.suppress(ValueError):
        timestamp = datetime.fromisoformat(text)
        return timestamp if timestamp.tzinfo else None
    return None


def _is_locked(folder: Path, process: int) -> bool | None:
    """Say whether a process of this machine has locked a run's folder; None if unknown.

    It is unknown for the folder of another user. It is unknown, too, if only the folder is gone (a
    cleaner of temporary files) and a process with that number exists.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        import psutil

        return None if psutil.pid_exists(process) else False
    except OSError:
        return None
    try:
        # A shared lock: two observers do not take each other for the owner.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
