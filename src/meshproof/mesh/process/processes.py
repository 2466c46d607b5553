"""The processes and folders of a run. None of them outlives the run, however it ends.

A run owns one folder and locks it. Each process that it starts carries the folder's path in its
environment. After a SIGKILL the kernel drops the lock, so the next run sees that the owner is gone,
whatever process ids and clocks say, and finds its processes and its folder.
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
from meshproof.base.errors import NotReady, ProcessEnded
from meshproof.base.signals import uninterrupted
from meshproof.base.waiting import wait_for
from meshproof.mesh.process import limits, logs

#: The environment variable that marks the processes of a run.
RUN_VARIABLE = "MESHPROOF_RUN"
_STATE_FILE = "kept"
#: Signals that a process gets for a fault of its own (signal(7)).
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
#: What a process writes that gets no memory, before it aborts.
_OUT_OF_MEMORY = re.compile(r"bad_alloc|out of memory|unable to allocate", re.I)
_RUN_NAME = re.compile(r"run-(\d+)-[0-9a-f]{8}")


def ensure_runs_folder() -> Path:
    """Return the folder of all runs of this user; create it if needed, closed to others.

    Raises NotReady if it cannot be created, or if somebody else owns a folder of that name.
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
    # Resolved: the processes of a run are found by this path, so it must be the same each time.
    """Return the path of the folder of all runs of this user."""
    return Path(tempfile.gettempdir()).resolve() / f"meshproof-{os.getuid()}"


@contextlib.contextmanager
def _lock_runs() -> Iterator[Path]:
    """Let one process at a time create, judge or remove runs; the last one removes their folder.

    Raises NotReady if another process holds the lock too long.
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
    """Return a handle that locks the folder of all runs; None if another process holds it."""
    handle = _lock_folder(ensure_runs_folder())
    if handle is not None and not _is_folder_at(handle, _runs_folder_path()):
        os.close(handle)
        return None
    return handle


def _lock_folder(folder: Path) -> int | None:
    """Return a handle that locks a folder until it is closed; None if it is locked or gone."""
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
    """Say whether `path` is still the folder that `handle` has opened."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


class Workspace:
    """The folder and the processes of one run; as a context it ends the run.

    `lock` is the handle by which this process owns the run; None to look at another process's run.
    """

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self.owner = os.getpid() if lock is not None else None
        self._lock = lock
        self._processes: list[Process] = []
        self._start_lock = threading.Lock()
        self._closed = False

    @classmethod
    def create(cls) -> Workspace:
        """Create the folder of this process's run. First clears the runs whose owner is gone."""
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
        """Close the run, unless it was left running and no error came."""
        if error is not None or self.kept_state is None:
            self.close()

    def leave_running(self, state: str) -> None:
        """Let the processes outlive this one; store `state` for the next command."""
        with uninterrupted():
            write_atomically(self.path / _STATE_FILE, state)
            _untrack(self)

    @property
    def kept_state(self) -> str | None:
        """The state given to `leave_running`, or None."""
        with contextlib.suppress(OSError):
            return (self.path / _STATE_FILE).read_text(encoding="utf-8")
        return None

    @property
    def processes(self) -> dict[str, int]:
        """Name -> process id of every process that this run has started."""
        return {process.name: process.pid for process in self._processes}

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        runs_in: Path | None = None,
    ) -> Process:
        """Start a process with its output in the log `name`; in the folder `runs_in`, if given.

        Raises NotReady if it cannot run.
        """
        with uninterrupted(), self._start_lock:
            if self._closed:
                raise NotReady(f"{name}: not started, the run is over")
            process = Process(name, command, self.path, env or {}, runs_in)
            self._processes.append(process)
        return process

    def close(self) -> None:
        """End all processes of the run and remove its folder. Signals are held back until then."""
        with uninterrupted():
            with self._start_lock:
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
            _untrack(self)
            with contextlib.suppress(NotReady), _lock_runs():
                pass  # if this was the last run, the folder of all runs is gone now


#: The runs that this process has created and not closed.
_open_workspaces: list[Workspace] = []


def _untrack(workspace: Workspace) -> None:
    """Stop to track a workspace as open in this process."""
    if workspace in _open_workspaces:
        _open_workspaces.remove(workspace)


@atexit.register
def _close_open_workspaces() -> None:
    """Close the workspaces that an exception has left open, between `create` and `with`."""
    for workspace in [
        workspace for workspace in _open_workspaces if workspace.owner == os.getpid()
    ]:
        workspace.close()


class Process:
    """A child process with a log file; in its own session, so Ctrl-C reaches only us."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        env: Mapping[str, str],
        runs_in: Path | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{files.name_file(name)}.log"
        try:
            with self.log.open("wb") as log:
                self._popen = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **env, RUN_VARIABLE: str(folder)},
                    cwd=runs_in,
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
        """Return the process's log so far."""
        return logs.read_log(self.log)

    def tail(self, lines: int = 8) -> str:
        """Return the last lines of the log for a message; see `logs.format_tail`."""
        return logs.format_tail(self.log, lines)

    def require_alive(self, source: str = "") -> None:
        """Raise ProcessEnded with the important log lines if the process has ended.

        `source` is the place (file:line) that asks for the process.
        """
        if not self.is_alive:
            code = self._popen.returncode
            ending = f"ended with exit code {code}"
            if code < 0:
                ending = f"was ended by signal {-code} ({signal.strsignal(-code)})"
            origin = f" ({source})" if source else ""
            lines = [f"{self.name}{origin} {ending}; last lines of its log:", self.tail()]
            raise ProcessEnded("\n".join(lines + limits.suggest_fixes(self.read_log())))

    @property
    def has_crashed(self) -> bool:
        """Whether a fault of its own ended the process, and no limit of this machine."""
        log = self.read_log()
        is_limited = limits.suggest_fixes(log) or _OUT_OF_MEMORY.search(log)
        return not self.is_alive and -self._popen.returncode in _CRASHES and not is_limited

    def does_end_within(self, seconds: float) -> bool:
        """Wait for the end of the process, at most `seconds`; say whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return not self.is_alive

    def terminate(self) -> None:
        """Send SIGTERM to the process if it runs."""
        if self.is_alive:
            self._popen.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process; kill it after `seconds`."""
        try:
            self._popen.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def find_run_processes(path: Path) -> list[psutil.Process]:
    """Return the live processes of the run in folder `path`."""
    return [process for process, mark in _find_all_run_processes() if mark == path]


def _find_all_run_processes() -> Iterator[tuple[psutil.Process, Path]]:
    """Yield each live process of any run, with the run's folder; leave out this process."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(RUN_VARIABLE)
            if mark and process.pid != os.getpid():
                yield process, Path(mark)


def clear_run(path: Path) -> None:
    """Kill all processes of the run in folder `path` and remove the folder."""
    deadline = time.monotonic() + timeouts.PROCESS_END
    survivors = {*find_run_processes(path)}
    while survivors and time.monotonic() < deadline:
        for process in survivors:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(timeouts.POLL)
        # A process may have started another one meanwhile; a dying one still has its ports.
        survivors = {*find_run_processes(path), *filter(_is_running, survivors)}
    shutil.rmtree(path, ignore_errors=True)


def _is_running(process: psutil.Process) -> bool:
    """Say whether a process runs and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def list_runs() -> list[Workspace]:
    """Return the workspaces of all runs of this user.

    Raises NotReady as `ensure_runs_folder` does.
    """
    if not os.path.lexists(_runs_folder_path()):
        return []
    folders = sorted(
        path for path in ensure_runs_folder().glob("run-*") if _RUN_NAME.fullmatch(path.name)
    )
    return [Workspace(path) for path in folders]


def clear_dead_runs(dry_run: bool = False) -> list[Path]:
    """Clear the runs whose owner is gone, unless they were left running and still have processes.

    Also ends processes whose owner is gone and whose folder was removed (by a cleaner of temporary
    files). Returns the folders of the dead runs; `dry_run` clears none.
    """
    with uninterrupted(), _lock_runs():
        return _clear_dead_runs(dry_run)


def _clear_dead_runs(dry_run: bool = False) -> list[Path]:
    """Do as `clear_dead_runs` does; the caller holds the lock."""
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
    """Write a file so that readers see the old text or the new one, never a part of it.

    Raises NotReady if that fails, for example on a full disk.
    """
    try:
        files.write_atomically(path, text.encode())
    except OSError as error:
        raise NotReady(f"{path}: cannot be written: {error.strerror}") from None
