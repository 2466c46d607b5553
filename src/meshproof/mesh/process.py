"""Processes and folders of a run, so made that none outlives it, whatever ends the run.

A run owns one folder; every process it starts carries that folder's path in its environment. So
they can be found and ended even by another run, after the first was killed (SIGKILL).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

import psutil

from meshproof import timeouts
from meshproof.errors import NotReady

#: Name of the variable that marks our processes.
MARK = "MESHPROOF_RUN"
_KEPT = "kept"
_NAME = re.compile(r"run-(\d+)-(\d+)-[0-9a-f]+")


def home() -> Path:
    """Return the folder of all runs of this user, made if needed, closed to others.

    Raises NotReady when somebody else owns a folder of that name.
    """
    path = Path(tempfile.gettempdir()) / f"meshproof-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        raise NotReady(f"{path}: must be a folder that only you can open; remove it and try again")
    return path


class Workspace:
    """The folder of one run and the processes that belong to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._processes: list[Process] = []

    @classmethod
    def create(cls) -> Workspace:
        """Make a folder for this process's run; its name tells the owner, so that it can be swept.

        First clears what runs left whose owner is gone.
        """
        sweep()
        owner = psutil.Process()
        name = f"run-{owner.pid}-{_started(owner)}-{secrets.token_hex(4)}"
        path = home() / name
        path.mkdir(mode=0o700)
        return cls(path)

    def keep(self, state: str) -> None:
        """Let the processes live on when this one ends; `state` is kept for whoever comes next."""
        write_whole(self.path / _KEPT, state)

    @property
    def kept(self) -> str | None:
        """The state given to `keep`, or None."""
        with contextlib.suppress(OSError):
            return (self.path / _KEPT).read_text(encoding="utf-8")
        return None

    def start(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process whose output goes to the log `name`. Raises NotReady if it cannot run."""
        process = Process(name, command, self.path, env or {})
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End every process of the run and remove its folder. Signals wait until that is done."""
        with uninterrupted():
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.wait(timeouts.PROCESS_END)
            clear(self.path)


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
        except OSError as error:
            raise NotReady(f"{name}: cannot run {command[0]}: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    def tail(self, lines: int = 8) -> str:
        """Return the last lines of the log, indented, for a message."""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            last = [line.rstrip()[:300] for line in log if line.strip()][-lines:]
        return "\n".join(f"    {line}" for line in last) or "    (its log is empty)"

    def require_alive(self, source: str = "") -> None:
        """Raise NotReady with the last log lines when the process has ended.

        `source` says where it was asked for (file:line).
        """
        if not self.alive:
            code = self._popen.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            where = f" ({source})" if source else ""
            raise NotReady(f"{self.name}{where} {how}; last lines of its log:\n{self.tail()}")

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.alive:
            self._popen.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end; after `seconds` kill."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


T = TypeVar("T")


def wait_for(
    look: Callable[[], T | None], seconds: float, failure: Callable[[], str], poll: float = 0
) -> T:
    """Return what `look` returns once that is not None; look again until `seconds` are over.

    Raises NotReady with the words of `failure`. `look` may raise to end the waiting early.
    """
    import tenacity

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(poll or timeouts.POLL),
        retry=tenacity.retry_if_result(lambda found: found is None),
    )
    try:
        found = retrying(look)
    except tenacity.RetryError:
        found = None
    if found is None:
        raise NotReady(failure())
    return found


def _started(process: psutil.Process) -> int:
    return int(process.create_time() * 100)


def _owner_alive(path: Path) -> bool:
    matched = _NAME.fullmatch(path.name)
    if matched is None:
        return True
    try:
        return abs(_started(psutil.Process(int(matched[1]))) - int(matched[2])) <= 1
    except psutil.NoSuchProcess:
        return False


def marked(path: Path) -> list[psutil.Process]:
    """Return the live processes that belong to the run in folder `path`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(path) and process.pid != os.getpid():
                found.append(process)
    return found


def clear(path: Path) -> None:
    """Kill what still runs for the run in folder `path` and remove the folder."""
    left = marked(path)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=timeouts.PROCESS_END)
    shutil.rmtree(path, ignore_errors=True)


def runs() -> list[Workspace]:
    """Return the workspaces that exist, of whatever owner."""
    return [Workspace(path) for path in sorted(home().glob("run-*"))]


def sweep() -> None:
    """Clear the runs whose owner is gone, unless they were kept and still have processes."""
    for workspace in runs():
        if _owner_alive(workspace.path):
            continue
        if workspace.kept is not None and marked(workspace.path):
            continue
        clear(workspace.path)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextlib.contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None], *signals: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM and SIGHUP end the run as Ctrl-C does, so that everything is cleaned up."""
    return _handlers(_interrupt, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back while something must not be cut short; deliver the first one after it."""
    seen: list[int] = []
    with _handlers(
        lambda number, frame: seen.append(number), signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    ):
        yield
    if seen:
        os.kill(os.getpid(), seen[0])
