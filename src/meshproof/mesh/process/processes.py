"""Processes and folders of a run, so made that none outlives it, whatever ends the run.

A run owns one folder and holds a lock on it; every process that it starts carries the folder's path
in its environment. So the next run can tell, after this one was killed (SIGKILL), that its owner
is gone (the kernel has dropped the lock, whatever pid or clock says) and what it left.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from meshproof.base import files, timeouts
from meshproof.base.errors import NotReady
from meshproof.base.signals import interruptible, uninterrupted
from meshproof.base.waiting import wait_for
from meshproof.mesh.process import limits, logs

#: Name of the variable that marks our processes.
MARK = "MESHPROOF_RUN"
_KEPT = "kept"
_NAME = re.compile(r"run-(\d+)-[0-9a-f]{8}")


def home() -> Path:
    """Return the folder of all runs of this user, made if needed, closed to others.

    Raises NotReady when it cannot be made, or when somebody else owns a folder of that name.
    """
    path = _home()
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise NotReady(f"{path}: no folder for the run can be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotReady(f"{path}: must be a folder that only you can open; remove it and try again")
    return path


def _home() -> Path:
    # Resolved: by another name of the same folder nobody would find the processes of its runs.
    return Path(tempfile.gettempdir()).resolve() / f"meshproof-{os.getuid()}"


@contextlib.contextmanager
def _alone() -> Iterator[Path]:
    """Let one process at a time make, judge or remove runs; the last one removes their folder.

    Raises NotReady when another does not come to an end with it.
    """
    handle = wait_for(
        _locked_home,
        timeouts.RUNS_LOCKED,
        lambda: f"{_home()}: another meshproof holds it for {timeouts.RUNS_LOCKED:.0f} s",
    )
    try:
        yield _home()
    finally:
        with contextlib.suppress(OSError):
            _home().rmdir()
        os.close(handle)


def _locked_home() -> int | None:
    handle = _lock(home())
    if handle is not None and not _is_at(handle, _home()):
        os.close(handle)
        return None
    return handle


def _lock(folder: Path) -> int | None:
    """Return a handle that locks a folder until it is closed; None when the folder is locked."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


class Workspace:
    """The folder of one run and the processes that belong to it. As a context it ends with it.

    `lock` is the handle by which this process owns the run; None for a look at another's.
    """

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self.owner = os.getpid() if lock is not None else None
        self._lock = lock
        self._processes: list[Process] = []
        self._starting = threading.Lock()
        self._closed = False

    @classmethod
    def create(cls) -> Workspace:
        """Make a folder for this process's run. First clears what runs left whose owner is gone."""
        with uninterrupted(), _alone() as place:
            _sweep()
            path = place / f"run-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                path.mkdir(mode=0o700)
            except OSError as error:
                raise NotReady(f"{path}: cannot be made: {error.strerror}") from None
            workspace = cls(path, _lock(path))
            _open.append(workspace)
        return workspace

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the run, unless it is kept and nothing went wrong."""
        if error is not None or self.kept is None:
            self.close()

    def keep(self, state: str) -> None:
        """Let the processes live on when this one ends; `state` is kept for whoever comes next."""
        with uninterrupted():
            write_whole(self.path / _KEPT, state)
            _forget(self)

    @property
    def kept(self) -> str | None:
        """The state given to `keep`, or None."""
        with contextlib.suppress(OSError):
            return (self.path / _KEPT).read_text(encoding="utf-8")
        return None

    @property
    def processes(self) -> dict[str, int]:
        """Name -> process id of everything that was started here."""
        return {process.name: process.pid for process in self._processes}

    def start(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process whose output goes to the log `name`. Raises NotReady if it cannot run."""
        with uninterrupted(), self._starting:
            if self._closed:
                raise NotReady(f"{name}: not started, the run is over")
            process = Process(name, command, self.path, env or {})
            self._processes.append(process)
        return process

    def close(self) -> None:
        """End every process of the run and remove its folder. Signals wait until that is done."""
        with uninterrupted():
            with self._starting:
                self._closed = True
            for process in self._processes:
                process.terminate()
            deadline = time.monotonic() + timeouts.PROCESS_END
            for process in self._processes:
                process.wait(deadline - time.monotonic())
            clear(self.path)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            _forget(self)
            with contextlib.suppress(NotReady), _alone():
                pass  # if this was the last run, the folder of all runs is gone now


#: Runs that this process has begun and not ended.
_open: list[Workspace] = []


def _forget(workspace: Workspace) -> None:
    if workspace in _open:
        _open.remove(workspace)


@atexit.register
def _close_open() -> None:
    """End what an exception between a start and its `with` has left open."""
    for workspace in [one for one in _open if one.owner == os.getpid()]:
        workspace.close()


class Process:
    """A child process with a log file; it is in a session of its own, so Ctrl-C is ours alone."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        try:
            with self.log.open("wb") as log:
                self._popen = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **env, MARK: str(folder)},
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:  # ValueError: a NUL or a `=` where none may be
            said = error.strerror if isinstance(error, OSError) else error
            raise NotReady(f"{name}: cannot run {command[0]}: {said}") from None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    def said(self) -> str:
        """Return its log so far."""
        return logs.text(self.log)

    def tail(self, lines: int = 8) -> str:
        """Return the last lines of the log, indented, for a message: see `logs.tail`."""
        return logs.tail(self.log, lines)

    def require_alive(self, source: str = "") -> None:
        """Raise NotReady with the telling log lines when the process has ended.

        `source` says where it was asked for (file:line).
        """
        if not self.alive:
            code = self._popen.returncode
            how = f"ended with exit code {code}"
            if code < 0:
                how = f"was ended by signal {-code} ({signal.strsignal(-code)})"
            where = f" ({source})" if source else ""
            said = [f"{self.name}{where} {how}; last lines of its log:", self.tail()]
            raise NotReady("\n".join(said + limits.hints(self.said())))

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most for its end; say whether it has come."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return not self.alive

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.alive:
            self._popen.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end; after `seconds` kill."""
        try:
            self._popen.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def marked(path: Path) -> list[psutil.Process]:
    """Return the live processes that belong to the run in folder `path`."""
    return [process for process, mark in _all_marked() if mark == path]


def _all_marked() -> Iterator[tuple[psutil.Process, Path]]:
    """Yield every live process but this one that belongs to a run, with the run's folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK)
            if mark and process.pid != os.getpid():
                yield process, Path(mark)


def clear(path: Path) -> None:
    """Kill what still runs for the run in folder `path` and remove the folder."""
    deadline = time.monotonic() + timeouts.PROCESS_END
    left = {*marked(path)}
    while left and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(timeouts.POLL)
        # One may have started another since the last look; one that dies still has its ports.
        left = {*marked(path), *filter(_lives, left)}
    shutil.rmtree(path, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runs() -> list[Workspace]:
    """Return the workspaces that exist, of whatever owner. Raises NotReady as `home` does."""
    if not os.path.lexists(_home()):
        return []
    found = sorted(path for path in home().glob("run-*") if _NAME.fullmatch(path.name))
    return [Workspace(path) for path in found]


def sweep(dry_run: bool = False) -> list[Path]:
    """Clear the runs whose owner is gone, unless they were kept and still have processes.

    Ends processes, too, whose run has lost its folder (a cleaner of temporary files) and its owner.
    Returns the folders of those runs; `dry_run` clears none.
    """
    with uninterrupted(), _alone():
        return _sweep(dry_run)


def _sweep(dry_run: bool = False) -> list[Path]:
    found: list[Path] = []
    for workspace in runs():
        handle = _lock(workspace.path)
        if handle is None:  # its owner lives
            continue
        try:
            if workspace.kept is None or not marked(workspace.path):
                found.append(workspace.path)
                if not dry_run:
                    clear(workspace.path)
        finally:
            os.close(handle)
    for process, path in _all_marked():
        name = _NAME.fullmatch(path.name)
        if path.parent == _home() and name and not path.exists() and not dry_run:
            with contextlib.suppress(psutil.NoSuchProcess):
                if not psutil.pid_exists(int(name[1])):
                    process.kill()
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Raises NotReady when that cannot be done, as on a full disk.
    """
    try:
        files.write_whole(path, text.encode())
    except OSError as error:
        raise NotReady(f"{path}: cannot be written: {error.strerror}") from None


__all__ = [
    "MARK",
    "Process",
    "Workspace",
    "clear",
    "home",
    "interruptible",
    "marked",
    "runs",
    "sweep",
    "uninterrupted",
    "wait_for",
    "write_whole",
]
