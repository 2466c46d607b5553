"""Machine limits that end an Envoy, and what the user can do about each.

Source: inotify(7) and sysctl/fs of the kernel's documentation. Envoy uses one inotify instance for
each config file that it reads, and aborts if it gets none (its
source/common/filesystem/inotify/watcher_impl.cc).
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_MAX_HOLDERS = 3
_MIN_SUGGESTED = 1024


def suggest_fixes(log: str) -> list[str]:
    """Return what to do if a log says that the machine has reached a limit, else nothing."""
    if "inotify_fd_ >= 0" in log:
        return [_describe_inotify_use()]
    if "unable to add filesystem watch" in log and "No space left" in log:
        name, limit = _read_inotify_limit("watches")
        command = f"`sudo sysctl {name}={_suggest_limit(limit)}`"
        return [f"This user may watch no more folders: {name} is {limit}. Raise it: {command}."]
    if "Too many open files" in log:
        return ["It may open no more files: raise the limit (`ulimit -n 4096`) and run again."]
    return []


def _describe_inotify_use() -> str:
    """Say that the inotify instances are used up, by which programs, and how to raise the limit."""
    name, limit = _read_inotify_limit("instances")
    counts = Counter(_find_inotify_holders())
    holders = ", ".join(f"{program} {count}" for program, count in counts.most_common(_MAX_HOLDERS))
    return (
        "This user's inotify instances are used up: an Envoy takes one for each file that it reads "
        f"its config from, and {name} is {limit}{f' (held now: {holders})' if holders else ''}. "
        "End another mesh (`meshproof mesh status`) or raise the limit: "
        f"`sudo sysctl {name}={_suggest_limit(limit)}`."
    )


def _read_inotify_limit(kind: str) -> tuple[str, str]:
    """Return the name and value of the setting that limits inotify `instances` or `watches`.

    A container may have a lower limit of its own; the lowest is in force.
    """
    names = (f"fs.inotify.max_user_{kind}", f"user.max_inotify_{kind}")
    limits = []
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            limits.append((int((_PROC / "sys" / name.replace(".", "/")).read_text()), name))
    if not limits:
        return names[0], "not known"
    value, name = min(limits, key=lambda limit: limit[0])
    return name, str(value)


def _suggest_limit(limit: str) -> int:
    """Return a higher limit: twice the present one, at least _MIN_SUGGESTED."""
    return max(_MIN_SUGGESTED, 2 * int(limit)) if limit.isdigit() else _MIN_SUGGESTED


def _find_inotify_holders() -> Iterator[str]:
    """Yield the program that holds each visible inotify instance of this user."""
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            program = (folder / "comm").read_text().strip()
            for descriptor in os.scandir(folder / "fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor.path) == "anon_inode:inotify":
                        yield program
