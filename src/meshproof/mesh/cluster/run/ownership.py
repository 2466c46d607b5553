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


class State(StrEnum):
    """Whether a run goes on."""

    LIVES = "lives"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Standing:
    """Whether a run goes on, and in words by what that is known."""

    state: State
    why: str


def machine() -> str:
    """Return what tells this machine, as its processes see it, from any other: three words."""
    boot, mounts = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    with contextlib.suppress(OSError):
        mounts = str(os.stat("/proc/self/ns/mnt").st_ino)
    return f"{socket.gethostname()}:{boot}:{mounts}"


def owned_by(folder: Path) -> dict[str, str]:
    """Return the annotations of what a run creates whose process holds the lock on `folder`."""
    until = datetime.now(UTC) + timedelta(seconds=timeouts.RUN_LIFE)
    return {
        OWNER: f"{machine()}:{folder}",
        UNTIL: until.isoformat(timespec="seconds"),
    }


def standing(notes: Mapping[str, str]) -> Standing:
    """Say from the annotations of what a run has created whether it goes on."""
    owner, given = str(notes.get(OWNER, "")), str(notes.get(UNTIL, ""))
    host, boot, mounts, folder = (*owner.split(":", 3), "", "", "", "")[:4]
    found = _FOLDER.fullmatch(folder)
    if not host or found is None:
        return Standing(State.UNKNOWN, f"annotation {OWNER} is {_told(owner)}")
    process = int(found[1])
    if f"{host}:{boot}:{mounts}" == machine():
        locked = _locked(Path(folder), process)
        if locked is not None:
            how = "runs" if locked else "has ended"
            state = State.LIVES if locked else State.GONE
            return Standing(state, f"its process {process} {how} on this machine")
    until = _time(given)
    if until is None:
        return Standing(State.UNKNOWN, f"annotation {UNTIL} is {_told(given)}")
    if until < datetime.now(UTC):
        return Standing(State.GONE, f"it was to end by {given} (process {process} of {host})")
    return Standing(State.LIVES, f"process {process} of {host} may run until {given}")


def _told(given: str) -> str:
    return f"not readable: '{given}'" if given else "missing"


def _time(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else None
    return None


def _locked(folder: Path, process: int) -> bool | None:
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
