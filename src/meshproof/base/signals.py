"""Ctrl-C, SIGTERM and SIGHUP: each ends the run in good order, once, and cuts no cleanup short.

A signal becomes a KeyboardInterrupt in the main thread, whichever of the three it is. While
something must not be cut short it waits. After it has ended the run, more of them change nothing.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: So long after it has ended the run a further signal is the same wish; later it interrupts again,
#: since somebody may have swallowed the first.
_AGAIN = 5.0
#: So long a signal waits for a moment in which it does no harm, looking again after _MOMENT.
_PATIENCE = 3.0
_MOMENT = 0.002
#: Functions of `threading` in which a thread waits.
_WAITS = ("wait", "join", "_wait_for_tstate_lock")
_LIBRARY = os.path.dirname(threading.__file__)
#: Files of code in the midst of which nothing may be raised.
_NOT_IN = {contextlib.__file__, __file__}
#: Files of code that must have returned before: what uses locks that are written in Python;
#: `tempfile`, which tries its folder by a file that would stay; and imports, since what is raised
#: while a class is made comes out of 3.11 as a RuntimeError (`__set_name__`), and a module that is
#: half there breaks whoever imports it again.
_NOT_BELOW = {"<frozen importlib._bootstrap>"} | {
    os.path.join(_LIBRARY, *file.split("/"))
    for file in (
        "threading.py",
        "queue.py",
        "tempfile.py",
        "logging/__init__.py",
        "concurrent/futures/_base.py",
        "concurrent/futures/thread.py",
    )
}


@dataclass
class _Watch:
    """The state of signals in this process. Only the main thread changes it.

    `depth` counts the contexts that want the signals, `held` those that hold them back; `waiting`
    is a signal that was held back, `asked` the time of one that waits for a harmless moment,
    `raised` the time at which one ended the run, `seen` where the main thread was last.
    """

    before: dict[int, Any] = field(default_factory=dict)
    depth: int = 0
    held: int = 0
    waiting: int = 0
    asked: float | None = None
    raised: float | None = None
    settled: bool = False
    seen: tuple[str, int] = ("", 0)


_watch = _Watch()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _handle(number: int, frame: FrameType | None) -> None:
    if _watch.settled:
        return
    if _watch.held:
        _watch.waiting = _watch.waiting or number
        return
    now = time.monotonic()
    if _watch.raised is not None and now - _watch.raised <= _AGAIN:
        return
    _watch.asked = _watch.asked or now
    if now - _watch.asked < _PATIENCE and not _harmless(frame):
        _thread.start_new_thread(_send_again, (number,))  # not `threading`: see _harmless
        return
    _watch.raised, _watch.asked = now, None
    raise KeyboardInterrupt(signal.Signals(number).name)


def _send_again(number: int) -> None:
    threading.Event().wait(_MOMENT)
    os.kill(os.getpid(), number)


def _harmless(frame: FrameType | None) -> bool:
    """Say whether an exception may be raised at this point of the main thread.

    In the midst of Python's own locks it would leave one locked for ever (a thread pool then hangs
    at its end), in that of a context manager it would pass its end by, in that of an import it may
    come out as another error. Where an instruction has no line, pytest fails to show the traceback.
    """
    if frame is None:
        return True
    if frame.f_lineno is None or frame.f_code.co_filename in _NOT_IN:
        return False
    if _blocked(frame):
        return True
    below: FrameType | None = frame
    while below is not None:
        if below.f_code.co_filename in _NOT_BELOW:
            return False
        below = below.f_back
    return True


def _install() -> None:
    """Take the signals over, but for those that are ignored (`nohup`, a shell's background job)."""
    for number in _SIGNALS:
        before = signal.getsignal(number)
        if before not in (signal.SIG_IGN, None):
            _watch.before[number] = before
            signal.signal(number, _handle)


def _restore() -> None:
    """Give the signals back; one that still waits is for whoever had them before."""
    waiting = 0 if _watch.raised else _watch.waiting
    for number, handler in _watch.before.items():
        signal.signal(number, handler)
    _watch.before.clear()
    _watch.waiting, _watch.asked, _watch.raised, _watch.settled = 0, None, None, False
    if waiting:
        os.kill(os.getpid(), waiting)


def take() -> Callable[[], None]:
    """Take the signals over as `interruptible` does, until what is returned is called, if ever."""
    if not _in_main_thread():
        return lambda: None
    if not _watch.depth:
        _install()
    _watch.depth += 1
    return _give_back


def _give_back() -> None:
    _watch.depth -= 1
    if not _watch.depth:
        _restore()


def _blocked(frame: FrameType) -> bool:
    """Say whether the main thread waits in one of Python's locks, still where it was last time.

    These waits are written to be interrupted.
    """
    seen, _watch.seen = _watch.seen, (frame.f_code.co_name, frame.f_lasti)
    ours = frame.f_code.co_filename == threading.__file__ and frame.f_code.co_name in _WAITS
    return ours and seen == _watch.seen


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is done here as Ctrl-C does, so that it is cleaned up.

    Contexts may be nested; in a thread other than the main one this changes nothing.
    """
    give_back = take()
    try:
        yield
    finally:
        give_back()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back while something must not be cut short; the first one comes after it."""
    if not _in_main_thread():
        yield
        return
    with interruptible():
        _watch.held += 1
        try:
            yield
        finally:
            _watch.held -= 1
            _deliver()


def _deliver() -> None:
    """Interrupt for a signal that was held back, unless that is left to an outer context."""
    if _watch.waiting and not _watch.held and _watch.depth > 1:
        number, _watch.waiting = _watch.waiting, 0
        _handle(number, None)


def pending() -> bool:
    """Say whether a signal was held back and waits."""
    return bool(_watch.waiting)


def ending() -> bool:
    """Say whether a signal has ended the run, or will as soon as it is let."""
    return pending() or _watch.raised is not None


def ignore() -> None:
    """Ignore signals for the little that is left of this process, even while Python ends itself."""
    settle()
    for number in _watch.before:
        signal.signal(number, signal.SIG_IGN)


def settle() -> None:
    """Ignore signals from here on, also one that waits: what was asked for is done.

    Holds until the outermost `interruptible` ends.
    """
    _watch.waiting = 0
    _watch.settled = True
    # An interrupt inside an `exec` (a dataclass is made by one) leaves a mark in CPython, caught or
    # not, by which the process ends itself with SIGINT, whatever its exit code. This unmarks it.
    exec("")
