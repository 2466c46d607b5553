"""Ctrl-C, SIGTERM and SIGHUP: each ends the run in good order, once, and interrupts no cleanup.

Each of the three becomes a KeyboardInterrupt in the main thread. A signal waits while an
interruption would do harm. After one has ended the run, more of them change nothing.
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
#: For so long after the first signal, more signals are the same request. A later one interrupts
#: again, since somebody may have swallowed the first.
_REPEAT_SECONDS = 5.0
#: The longest time that a signal waits for a harmless moment; it tries again after _RETRY_PAUSE.
_MAX_POSTPONE_SECONDS = 3.0
_RETRY_PAUSE = 0.002
#: The functions of `threading` in which a thread waits.
_WAIT_FUNCTIONS = ("wait", "join", "_wait_for_tstate_lock")
_LIBRARY_FOLDER = os.path.dirname(threading.__file__)
#: Code in these files must not be interrupted.
_UNSAFE_FILES = {contextlib.__file__, __file__}
#: Code that these files call must not be interrupted either. They use locks written in Python;
#: `tempfile` tries its folder with a file that would stay; in imports, an exception
#: while a class is made comes out of 3.11 as a RuntimeError (`__set_name__`), and a module of which
#: only half is there breaks the next import of it.
_UNSAFE_CALLER_FILES = {"<frozen importlib._bootstrap>"} | {
    os.path.join(_LIBRARY_FOLDER, *file.split("/"))
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
class _SignalState:
    """The state of signals in this process. Only the main thread changes it.

    `context_depth` counts the contexts that handle signals, `hold_depth` those that hold them back.
    `held_signal` is the number of a signal that was held back. `postponed_since` is the time since
    which a signal waits for a harmless moment, `raised_at` the time at which one ended the run.
    `ignored_signal` is the number of one that came while signals were ignored.
    `last_position` is the function and instruction of the main thread at the last look.
    """

    previous_handlers: dict[int, Any] = field(default_factory=dict)
    context_depth: int = 0
    hold_depth: int = 0
    held_signal: int = 0
    postponed_since: float | None = None
    raised_at: float | None = None
    ignores_signals: bool = False
    ignored_signal: int = 0
    last_position: tuple[str, int] = ("", 0)


_state = _SignalState()


def _in_main_thread() -> bool:
    """Say whether this is the main thread."""
    return threading.current_thread() is threading.main_thread()


def _handle_signal(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for a signal, or hold it back, postpone it or ignore it."""
    if _state.ignores_signals:
        _state.ignored_signal = number
        return
    if _state.hold_depth:
        _state.held_signal = _state.held_signal or number
        return
    now = time.monotonic()
    if _state.raised_at is not None and now - _state.raised_at <= _REPEAT_SECONDS:
        return
    _state.postponed_since = _state.postponed_since or now
    if now - _state.postponed_since < _MAX_POSTPONE_SECONDS and not _is_harmless(frame):
        _thread.start_new_thread(_send_again, (number,))  # not `threading`: see _harmless
        return
    _state.raised_at, _state.postponed_since = now, None
    raise KeyboardInterrupt(signal.Signals(number).name)


def _send_again(number: int) -> None:
    """Send a postponed signal again after a pause."""
    threading.Event().wait(_RETRY_PAUSE)
    os.kill(os.getpid(), number)


def _is_harmless(frame: FrameType | None) -> bool:
    """Say whether an exception may be raised at this point of the main thread.

    Inside Python's own locks it would leave one locked for ever; a thread pool then hangs at its
    end. Inside a context manager it would skip the cleanup, inside an import it may come out as
    another error. Where an instruction has no line number, pytest cannot show the traceback.
    """
    if frame is None:
        return True
    if frame.f_lineno is None or frame.f_code.co_filename in _UNSAFE_FILES:
        return False
    if _is_waiting_in_lock(frame):
        return True
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_code.co_filename in _UNSAFE_CALLER_FILES:
            return False
        outer = outer.f_back
    return True


def _install_handlers() -> None:
    """Handle the signals, except those that are ignored (`nohup`, a shell's background job)."""
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler not in (signal.SIG_IGN, None):
            _state.previous_handlers[number] = handler
            signal.signal(number, _handle_signal)


def _restore_handlers() -> None:
    """Give the signals back to the former handlers, with one that still waits."""
    waiting = 0 if _state.raised_at else _state.held_signal
    for number, handler in _state.previous_handlers.items():
        signal.signal(number, handler)
    _state.previous_handlers.clear()
    _forget_signals()
    if waiting:
        os.kill(os.getpid(), waiting)


def _forget_signals() -> None:
    """Forget the signals that have come, and ignore none from now on."""
    _state.held_signal = _state.ignored_signal = 0
    _state.postponed_since = _state.raised_at = None
    _state.ignores_signals = False


def take_over() -> Callable[[], None]:
    """Handle the signals as `interruptible` does; return a function that ends that."""
    if not _in_main_thread():
        return lambda: None
    if not _state.context_depth:
        _install_handlers()
    _state.context_depth += 1
    return _release


def _release() -> None:
    """End one context; the outermost one gives the signals back."""
    _state.context_depth -= 1
    if not _state.context_depth:
        _restore_handlers()


def _is_waiting_in_lock(frame: FrameType) -> bool:
    """Say whether the main thread waits in one of Python's locks, at the same place as last time.

    These waits are made to be interrupted.
    """
    last_position, _state.last_position = (
        _state.last_position,
        (frame.f_code.co_name, frame.f_lasti),
    )
    is_waiting = (
        frame.f_code.co_filename == threading.__file__ and frame.f_code.co_name in _WAIT_FUNCTIONS
    )
    return is_waiting and last_position == _state.last_position


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the context as Ctrl-C does, so that cleanups run.

    Contexts may be nested. In a thread other than the main one this changes nothing.
    """
    give_back = take_over()
    try:
        yield
    finally:
        give_back()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back while the context lasts; the first one comes after it."""
    if not _in_main_thread():
        yield
        return
    with interruptible():
        _state.hold_depth += 1
        try:
            yield
        finally:
            _state.hold_depth -= 1
            _deliver_held_signal()


def _deliver_held_signal() -> None:
    """Interrupt for a signal that was held back, unless an outer context does that."""
    if _state.held_signal and not _state.hold_depth and _state.context_depth > 1:
        number, _state.held_signal = _state.held_signal, 0
        _handle_signal(number, None)


def is_pending() -> bool:
    """Say whether a signal was held back and waits."""
    return bool(_state.held_signal)


def is_ending() -> bool:
    """Say whether a signal has ended the run, or will end it when it is let through."""
    return is_pending() or _state.raised_at is not None


def ignore_until_exit() -> None:
    """Ignore signals until the process has ended, also while Python shuts down."""
    ignore_from_now()
    for number in _state.previous_handlers:
        signal.signal(number, signal.SIG_IGN)


def ignore_from_now() -> None:
    """Ignore signals from now on, also one that waits: the work is done.

    Holds until the outermost `interruptible` ends.
    """
    _state.held_signal = 0
    _state.ignores_signals = True
    # An interrupt inside an `exec` (a dataclass is made by one) leaves a mark in CPython, caught or
    # not, by which the process ends itself with SIGINT, whatever its exit code. This unmarks it.
    exec("")  # nosec B102: empty


def heed_again() -> None:
    """Heed signals again after `ignore_from_now`: there is more to do.

    Raises KeyboardInterrupt if one came meanwhile.
    """
    number = _state.ignored_signal
    _forget_signals()
    if number:
        raise KeyboardInterrupt(signal.Signals(number).name)
