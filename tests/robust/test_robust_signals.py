"""Ctrl-C, SIGTERM and SIGHUP at any moment: exit code 2, a report where there is one, nothing left.

The points are random, the seed is fixed. A command that was not yet in our hands may die of the
signal itself, as every Python program does while it starts: then there is nothing to leave.
A signal that was ignored when the command was started (`nohup`, a shell's `&`) stays ignored.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

import pytest

from meshproof.run.record import Run
from tests.robust.real_runs import MESHPROOF, SUITES, Ended, Place, end, until

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPORTED = (*SUITES, "--mesh-report", "meshproof-report")


def points(seed: int, count: int, latest: float) -> list[tuple[float, int]]:
    """Return (seconds, signal): spread over the whole time, each signal in turn."""
    draw = random.Random(seed)
    part = (latest - 0.05) / count
    delays = [0.05 + part * (number + draw.random()) for number in range(count)]
    return list(zip(delays, itertools.cycle(SIGNALS), strict=False))


def interrupted(place: Place, command: tuple[str, ...], delay: float, *kinds: int) -> Ended:
    """Run a command and send it signals; it must end in good order."""
    started = place.start(*command)
    time.sleep(delay)
    begun = bool(place.runs())
    for kind in kinds:
        started.send_signal(kind)
        time.sleep(0.05)
    ended = end(started)
    if ended.code != 0:
        place.assert_nothing_left()
        early = ended.code == -kinds[0] or "init_import_site" in ended.said
        assert ended.code == 2 or (early and not begun), ended.said
    return ended


def check_report(place: Place) -> None:
    """Where the run had begun there is a whole report, which says that it was interrupted."""
    folder = place.folder / "meshproof-report"
    if not any(folder.glob("*.*")):
        return
    record = Run.from_json((folder / "run.json").read_text())
    assert record.interrupted
    assert record.exit_code == 2
    assert (folder / "junit.xml").read_text().rstrip().endswith("</testsuites>")
    assert (folder / "index.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(("delay", "kind"), points(1, 15, 3.0))
def test_the_main_job(place: Place, delay: float, kind: int) -> None:
    ended = interrupted(place, (*MESHPROOF, "test"), delay, kind)
    assert ended.code != 0
    check_report(place)
    if ended.code == 2:
        assert "nterrupted" in ended.said.splitlines()[-1], ended.said
        assert "Traceback" not in ended.said


@pytest.mark.parametrize(("delay", "kind"), points(2, 6, 3.0))
def test_the_suites_under_plain_pytest(place: Place, delay: float, kind: int) -> None:
    assert interrupted(place, REPORTED, delay, kind).code != 0
    check_report(place)


@pytest.mark.parametrize(("delay", "kind"), points(3, 12, 1.5))
def test_mesh_up(place: Place, delay: float, kind: int) -> None:
    ended = interrupted(place, (*MESHPROOF, "mesh", "up"), delay, kind)
    if ended.code == 0:  # it was up before the signal came
        assert "The local mesh is up: " in ended.said
        assert place.run(*MESHPROOF, "mesh", "status").code == 0
        assert place.run(*MESHPROOF, "mesh", "down").code == 0
        place.assert_nothing_left()


@pytest.mark.parametrize("command", [(*MESHPROOF, "test"), SUITES], ids=["meshproof", "pytest"])
@pytest.mark.parametrize("kinds", [(2, 2), (15, 15, 2, 1, 15), (2, 15, 15, 15, 15, 15)])
def test_more_signals_do_not_cut_the_cleanup_short(
    place: Place, command: tuple[str, ...], kinds: tuple[int, ...]
) -> None:
    started = place.start(*command)
    until(lambda: len(place.processes()) > 10, started)
    sent = 0
    for kind in kinds:
        if command == SUITES and not place.runs():
            break  # all is gone: a signal is pytest's own again, and may end it at once
        started.send_signal(kind)
        sent += 1
        time.sleep(0.005 if command == SUITES else 0.1)
    ended = end(started)
    place.assert_nothing_left()
    assert sent > 1
    assert ended.code == 2, ended.said
    assert "KeyboardInterrupt" in ended.said or command != SUITES
    assert "Traceback" not in ended.said


def test_signals_while_the_mesh_is_taken_down(place: Place) -> None:
    """All promises are tested, then the run is asked to end: it says so, and leaves nothing."""
    started = place.start(*MESHPROOF, "test", "-k", "rotation")
    until(lambda: len(place.processes()) > 10, started)
    until(lambda: len(place.processes()) < 10, started)
    for kind in (signal.SIGTERM, signal.SIGINT):
        started.send_signal(kind)
    ended = end(started)
    place.assert_nothing_left()
    assert "1 passed" in ended.said
    assert ended.code in (0, 2), ended.said
    assert (ended.code == 2) == ("Interrupted" in ended.said)


def test_ctrl_c_reaches_only_the_run_itself(place: Place) -> None:
    """A terminal sends it to every process of the foreground group: ours are in none of it."""
    started = place.start(*MESHPROOF, "test")
    until(lambda: len(place.processes()) > 10, started)
    groups = {os.getpgid(one.pid) for one in place.processes()}
    assert os.getpgid(started.pid) not in groups
    started.send_signal(signal.SIGINT)
    assert end(started).code == 2
    place.assert_nothing_left()


@pytest.mark.parametrize("command", [(*MESHPROOF, "test"), REPORTED], ids=["meshproof", "pytest"])
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(
    place: Place, command: tuple[str, ...]
) -> None:
    """So POSIX shells want it of background jobs (Ctrl-C), and `nohup` (SIGHUP)."""
    ignored = (signal.SIGINT, signal.SIGHUP)
    started = place.start(*command, "-k", "rotation", ignored=ignored)
    until(lambda: len(place.processes()) > 10, started)
    for number in ignored:
        started.send_signal(number)
    ended = end(started)
    place.assert_nothing_left()
    assert ended.code == 0, ended.said


@pytest.mark.parametrize("command", [(*MESHPROOF, "test"), REPORTED], ids=["meshproof", "pytest"])
def test_sigterm_ends_a_run_that_ignores_the_others(place: Place, command: tuple[str, ...]) -> None:
    started = place.start(*command, ignored=(signal.SIGINT, signal.SIGHUP))
    until(lambda: len(place.processes()) > 10, started)
    started.send_signal(signal.SIGTERM)
    ended = end(started)
    place.assert_nothing_left()
    assert ended.code == 2, ended.said
    assert "Traceback" not in ended.said
    check_report(place)


def test_signals_reach_a_run_though_these_tests_ignore_them(place: Place) -> None:
    """So it is where a shell runs the tests as a background job, or `nohup` does."""
    before = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)]
    try:
        started = place.start(*MESHPROOF, "test")
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)
    until(lambda: len(place.processes()) > 10, started)
    started.send_signal(signal.SIGINT)
    assert end(started).code == 2
    place.assert_nothing_left()
