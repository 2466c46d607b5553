"""Signals become one KeyboardInterrupt, wait while something must not be cut short, and go back."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from meshproof.base import signals, timeouts
from meshproof.base.errors import NotReady
from meshproof.base.signals import interruptible, uninterrupted
from meshproof.base.waiting import wait_for

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test gives the signals back as it found them: Python's own, though run by `nohup`.

    The session of the tests may have taken the signals over itself, for its meshes.
    """
    monkeypatch.setattr(signals, "_state", signals._SignalState())
    outer_handlers = [signal.getsignal(number) for number in ALL]
    before: list[object] = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    after = [signal.getsignal(number) for number in ALL]
    for number, handler in zip(ALL, outer_handlers, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", ALL)
def test_each_is_an_interrupt(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible(), interruptible():
        send(number)


def test_more_of_them_are_the_same_wish() -> None:
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        for number in ALL:
            send(number)
        assert signals.is_ending()


def test_one_that_was_swallowed_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_REPEAT_SECONDS", 0.0)
    with interruptible():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGINT)


def test_it_comes_a_moment_later_where_the_code_has_no_line() -> None:
    """Pytest fails to show a traceback through such an instruction."""
    came = False
    with interruptible():
        try:
            signals._handle_signal(signal.SIGINT, cast("FrameType", SimpleNamespace(f_lineno=None)))
            threading.Event().wait(5)
        except KeyboardInterrupt as interrupt:
            came = interrupt.__traceback__ is not None
    assert came


def test_it_leaves_no_lock_of_python_locked() -> None:
    """Raised within a condition's end it would lock it for ever, and with it a thread pool."""
    for _ in range(40):
        lock = threading.Condition(threading.Lock())
        with interruptible():
            sender = threading.Timer(0.003, send, [signal.SIGINT])
            with contextlib.suppress(KeyboardInterrupt):
                sender.start()
                until = time.monotonic() + 5
                while not signals.is_ending() and time.monotonic() < until:
                    with lock:
                        pass
        sender.join()
        assert time.monotonic() < until
        assert lock.acquire(blocking=False)


def test_it_interrupts_a_wait_for_another_thread() -> None:
    sender = threading.Timer(0.01, send, [signal.SIGINT])
    sender.start()
    with interruptible(), pytest.raises(KeyboardInterrupt):
        threading.Event().wait(5)
    sender.join()


def test_it_waits_for_what_must_not_be_cut_short() -> None:
    done = []

    def clean_up() -> None:
        with uninterrupted():
            with uninterrupted():
                send(signal.SIGTERM)
                send(signal.SIGINT)
            done.append(signals.is_pending())

    with interruptible():
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            clean_up()
        assert done == [True]


def test_it_waits_through_a_failing_cleanup() -> None:
    def clean_up() -> None:
        with uninterrupted():
            send(signal.SIGTERM)
            raise NotReady("a cleanup that fails")

    with interruptible(), pytest.raises(KeyboardInterrupt) as caught:
        clean_up()
    assert isinstance(caught.value.__context__, NotReady)


def test_it_goes_to_whoever_had_the_signals_before() -> None:
    numbers = []
    signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    before = signal.getsignal(signal.SIGTERM)
    with uninterrupted():
        send(signal.SIGTERM)
        assert numbers == []
    assert numbers == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_what_is_settled_is_not_interrupted() -> None:
    with interruptible(), uninterrupted():
        send(signal.SIGINT)
        signals.ignore_from_now()
        send(signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with interruptible():
        send(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_thread_stops_to_wait_once_the_run_ends() -> None:
    ended: list[str] = []

    def wait() -> None:
        with uninterrupted():  # changes nothing here
            try:
                wait_for(lambda: None, timeouts.APP_START, lambda: "too late")
            except NotReady as error:
                ended.append(str(error))

    with interruptible():
        thread = threading.Thread(target=wait)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        thread.join()
    assert ended == ["interrupted"]


def test_an_interrupt_within_an_exec_does_not_change_the_exit_code(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        one="""
        import sys
        from meshproof.base import signals as interrupts

        try:
            exec("raise KeyboardInterrupt")
        except KeyboardInterrupt:
            interrupts.ignore_from_now()
        sys.exit(2)
        """
    )
    assert pytester.run(sys.executable, "-m", "one").ret == 2


def test_it_comes_once_an_import_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised while a class is made, it would come out of Python 3.11 as a RuntimeError."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_with_a_class.py").write_text(
        "import os, signal, time\n"
        "class Field:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.05)\n"
        "class Owner:\n"
        "    field = Field()\n"
    )
    came = False
    with interruptible():
        try:
            importlib.import_module("module_with_a_class")
            threading.Event().wait(5)
        except KeyboardInterrupt:
            came = True
    assert came
    assert sys.modules.pop("module_with_a_class").Owner


def test_it_leaves_no_file_where_the_folder_for_temporary_ones_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python writes a file there and removes it: raised in between, the file would stay."""
    real_open = os.open

    def opened(*arguments: Any) -> int:
        handle = real_open(*arguments)
        send(signal.SIGTERM)
        return handle

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    came = False
    with interruptible():
        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", opened)
                assert tempfile.gettempdir() == str(tmp_path)
            threading.Event().wait(5)
        except KeyboardInterrupt:
            came = True
    assert came
    assert list(tmp_path.iterdir()) == []
