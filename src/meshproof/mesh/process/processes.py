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
RUN_VARIABLE = "MESHPROOF_RUN"
_STATE_FILE = "kept"
_RUN_NAME = re.compile(r"run-(\d+)-[0-9a-f]{8}")


def ensure_runs_folder() -> Path:
    """Return the folder of all runs of this user, made if needed, closed to others.

    Raises NotReady when it cannot be made, or when somebody else owns a folder of that name.
    """
    path = _runs_folder_path()
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
    except OSError as error:
        raise NotReady(f"{path}: no folder for the run can be made: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise NotReady(f"{path}: must be a folder that only you can open; remove it and try again")
    return path


def _runs_folder_path() -> Path:
    # Resolved: by another name of the same folder nobody would find the processes of its runs.
    return Path(tempfile.gettempdir()).resolve() / f"meshproof-{os.getuid()}"


@contextlib.contextmanager
def _lock_runs() -> Iterator[Path]:
    """Let one process at a time make, judge or remove runs; the last one removes their folder.

    Raises NotReady when another does not come to an end with it.
    """
    handle = wait_for(
        _try_lock_runs,
        timeouts.RUNS_LOCKED,
        lambda: (
            f"{_runs_folder_path()}: another meshproof holds it for {timeouts.RUNS_LOCKED:.0f} s"
        ),
    )
    try:
        yield _runs_folder_path()
    finally:
        with contextlib.suppress(OSError):
            _runs_folder_path().rmdir()
        os.close(handle)


def _try_lock_runs() -> int | None:
    handle = _lock_folder(ensure_runs_folder())
    if handle is not None and not _is_folder_at(handle, _runs_folder_path()):
        os.close(handle)
        return None
    return handle


def _lock_folder(folder: Path) -> int | None:
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


def _is_folder_at(handle: int, path: Path) -> bool:
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
        with uninterrupted(), _lock_runs() as folder:
            _clear_dead_runs()
            path = folder / f"run-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                path.mkdir(mode=0o700)
            except OSError as error:
                raise NotReady(f"{path}: cannot be made: {error.strerror}") from None
            workspace = cls(path, _lock_folder(path))
            _open_workspaces.append(workspace)
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
        if error is not None or self.kept_state is None:
            self.close()

    def keep(self, state: str) -> None:
        """Let the processes live on when this one ends; `state` is kept for whoever comes next."""
        with uninterrupted():
            write_atomically(self.path / _STATE_FILE, state)
            _forget(self)

    @property
    def kept_state(self) -> str | None:
        """The state given to `keep`, or None."""
        with contextlib.suppress(OSError):
            return (self.path / _STATE_FILE).read_text(encoding="utf-8")
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
            clear_run(self.path)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            _forget(self)
            with contextlib.suppress(NotReady), _lock_runs():
                pass  # if this was the last run, the folder of all runs is gone now


#: Runs that this process has begun and not ended.
_open_workspaces: list[Workspace] = []


def _forget(workspace: Workspace) -> None:
    if workspace in _open_workspaces:
        _open_workspaces.remove(workspace)


@atexit.register
def _close_open_workspaces() -> None:
    """End what an exception between a start and its `with` has left open."""
    for workspace in [
        workspace for workspace in _open_workspaces if workspace.owner == os.getpid()
    ]:
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
                    env={**os.environ, **env, RUN_VARIABLE: str(folder)},
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:  # ValueError: a NUL or a `=` where none may be
            reason = error.strerror if isinstance(error, OSError) else error
            raise NotReady(f"{name}: cannot run {command[0]}: {reason}") from None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    def read_log(self) -> str:
        """Return its log so far."""
        return logs.read_log(self.log)

    def tail(self, lines: int = 8) -> str:
        """Return the last lines of the log, indented, for a message: see `logs.format_tail`."""
        return logs.format_tail(self.log, lines)

    def require_alive(self, source: str = "") -> None:
        """Raise NotReady with the telling log lines when the process has ended.

        `source` says where it was asked for (file:line).
        """
        if not self.is_alive:
            code = self._popen.returncode
            ending = f"ended with exit code {code}"
            if code < 0:
                ending = f"was ended by signal {-code} ({signal.strsignal(-code)})"
            origin = f" ({source})" if source else ""
            lines = [f"{self.name}{origin} {ending}; last lines of its log:", self.tail()]
            raise NotReady("\n".join(lines + limits.suggest_fixes(self.read_log())))

    def does_end_within(self, seconds: float) -> bool:
        """Wait so long at most for its end; say whether it has come."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return not self.is_alive

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.is_alive:
            self._popen.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end; after `seconds` kill."""
        try:
            self._popen.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def find_run_processes(path: Path) -> list[psutil.Process]:
    """Return the live processes that belong to the run in folder `path`."""
    return [process for process, mark in _find_all_run_processes() if mark == path]


def _find_all_run_processes() -> Iterator[tuple[psutil.Process, Path]]:
    """Yield every live process but this one that belongs to a run, with the run's folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(RUN_VARIABLE)
            if mark and process.pid != os.getpid():
                yield process, Path(mark)


def clear_run(path: Path) -> None:
    """Kill what still runs for the run in folder `path` and remove the folder."""
    deadline = time.monotonic() + timeouts.PROCESS_END
    survivors = {*find_run_processes(path)}
    while survivors and time.monotonic() < deadline:
        for process in survivors:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(timeouts.POLL)
        # One may have started another since the last look; one that dies still has its ports.
        survivors = {*find_run_processes(path), *filter(_is_running, survivors)}
    shutil.rmtree(path, ignore_errors=True)


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def list_runs() -> list[Workspace]:
    """Return the workspaces that exist, of whatever owner. Raises NotReady as `ensure_runs_folder` does."""
    if not os.path.lexists(_runs_folder_path()):
        return []
    folders = sorted(
        path for path in ensure_runs_folder().glob("run-*") if _RUN_NAME.fullmatch(path.name)
    )
    return [Workspace(path) for path in folders]


def clear_dead_runs(dry_run: bool = False) -> list[Path]:
    """Clear the runs whose owner is gone, unless they were kept and still have processes.

    Ends processes, too, whose run has lost its folder (a cleaner of temporary files) and its owner.
    Returns the folders of those runs; `dry_run` clears none.
    """
    with uninterrupted(), _lock_runs():
        return _clear_dead_runs(dry_run)


def _clear_dead_runs(dry_run: bool = False) -> list[Path]:
    dead: list[Path] = []
    for workspace in list_runs():
        handle = _lock_folder(workspace.path)
        if handle is None:  # its owner lives
            continue
        try:
            if workspace.kept_state is None or not find_run_processes(workspace.path):
                dead.append(workspace.path)
                if not dry_run:
                    clear_run(workspace.path)
        finally:
            os.close(handle)
    for process, path in _find_all_run_processes():
        name = _RUN_NAME.fullmatch(path.name)
        if path.parent == _runs_folder_path() and name and not path.exists() and not dry_run:
            with contextlib.suppress(psutil.NoSuchProcess):
                if not psutil.pid_exists(int(name[1])):
                    process.kill()
    return dead


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Raises NotReady when that cannot be done, as on a full disk.
    """
    try:
        files.write_atomically(path, text.encode())
    except OSError as error:
        raise NotReady(f"{path}: cannot be written: {error.strerror}") from None


__all__ = [
    "RUN_VARIABLE",
    "Process",
    "Workspace",
    "clear_dead_runs",
    "clear_run",
    "ensure_runs_folder",
    "find_run_processes",
    "interruptible",
    "list_runs",
    "uninterrupted",
    "wait_for",
    "write_atomically",
]
