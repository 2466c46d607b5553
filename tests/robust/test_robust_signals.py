"""Ctrl-C, SIGTERM and SIGHUP at any moment: exit code 2, a complete report, no leftovers.

The moments are random, the seed is fixed. Before our code runs, a signal may kill the command, as
it kills every Python program that starts: then there are no leftovers either.
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
from tests.robust.real_runs import (
    MESHPROOF,
    SUITES,
    CommandResult,
    CommandRunner,
    wait_for_end,
    wait_until,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUITES_WITH_REPORT = (*SUITES, "--mesh-report", "meshproof-report")


def draw_interrupts(seed: int, count: int, latest: float) -> list[tuple[float, int]]:
    """Return `count` pairs (seconds, signal): spread from 0 to `latest`, each signal in turn."""
    draw = random.Random(seed)
    interval = (latest - 0.05) / count
    delays = [0.05 + interval * (number + draw.random()) for number in range(count)]
    return list(zip(delays, itertools.cycle(SIGNALS), strict=False))


def interrupt_run(
    runner: CommandRunner, command: tuple[str, ...], delay: float, *signals: int
) -> CommandResult:
    """Run a command, send it signals after `delay` seconds and assert that it ends in order."""
    process = runner.start(*command)
    time.sleep(delay)
    has_begun = bool(runner.find_run_folders())
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    result = wait_for_end(process)
    if result.code != 0:
        runner.assert_no_leftovers()
        died_early = result.code == -signals[0] or "init_import_site" in result.output
        assert result.code == 2 or (died_early and not has_begun), result.output
    return result


def check_report(runner: CommandRunner, result: CommandResult) -> None:
    """Assert that the report, if there is one, is complete and tells of the interrupt.

    A signal may end pytest before meshproof takes signals over, even while it tries whether the
    folder can be written to.
    """
    folder = runner.folder / "meshproof-report"
    reports = [name for name in ("run.json", "junit.xml", "index.html") if (folder / name).exists()]
    if not reports and (result.code < 0 or not any(folder.glob("*.*"))):
        return
    record = Run.from_json((folder / "run.json").read_text())
    assert record.interrupted
    assert record.exit_code == 2
    assert (folder / "junit.xml").read_text().rstrip().endswith("</testsuites>")
    assert (folder / "index.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(("delay", "kind"), draw_interrupts(1, 15, 3.0))
def test_the_main_job(runner: CommandRunner, delay: float, kind: int) -> None:
    result = interrupt_run(runner, (*MESHPROOF, "test"), delay, kind)
    assert result.code != 0
    check_report(runner, result)
    if result.code == 2:
        assert "nterrupted" in result.output.splitlines()[-1], result.output
        assert "Traceback" not in result.output


@pytest.mark.parametrize(("delay", "kind"), draw_interrupts(2, 6, 3.0))
def test_the_suites_under_plain_pytest(runner: CommandRunner, delay: float, kind: int) -> None:
    result = interrupt_run(runner, SUITES_WITH_REPORT, delay, kind)
    assert result.code != 0
    check_report(runner, result)


@pytest.mark.parametrize(("delay", "kind"), draw_interrupts(3, 12, 1.5))
def test_mesh_up(runner: CommandRunner, delay: float, kind: int) -> None:
    result = interrupt_run(runner, (*MESHPROOF, "mesh", "up"), delay, kind)
    if result.code == 0:  # it was up before the signal came
        assert "The local mesh is up: " in result.output
        assert runner.run(*MESHPROOF, "mesh", "status").code == 0
        assert runner.run(*MESHPROOF, "mesh", "down").code == 0
        runner.assert_no_leftovers()


@pytest.mark.parametrize("command", [(*MESHPROOF, "test"), SUITES], ids=["meshproof", "pytest"])
@pytest.mark.parametrize("kinds", [(2, 2), (15, 15, 2, 1, 15), (2, 15, 15, 15, 15, 15)])
def test_more_signals_do_not_cut_the_cleanup_short(
    runner: CommandRunner, command: tuple[str, ...], kinds: tuple[int, ...]
) -> None:
    process = runner.start(*command)
    wait_until(lambda: len(runner.processes()) > 10, process)
    sent_count = 0
    for kind in kinds:
        if command == SUITES and not runner.find_run_folders():
            break  # all is gone: a signal is pytest's own again, and may end it at once
        process.send_signal(kind)
        sent_count += 1
        time.sleep(0.005 if command == SUITES else 0.1)
    result = wait_for_end(process)
    runner.assert_no_leftovers()
    assert sent_count > 1
    assert result.code == 2, result.output
    assert "KeyboardInterrupt" in result.output or command != SUITES
    assert "Traceback" not in result.output


def test_signals_while_the_mesh_is_taken_down(runner: CommandRunner) -> None:
    """All promises are tested, then the run is asked to end: it says so, and leaves nothing."""
    process = runner.start(*MESHPROOF, "test", "-k", "rotation")
    wait_until(lambda: len(runner.processes()) > 10, process)
    wait_until(lambda: len(runner.processes()) < 10, process)
    for kind in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(kind)
    result = wait_for_end(process)
    runner.assert_no_leftovers()
    assert "1 passed" in result.output
    assert result.code in (0, 2), result.output
    assert (result.code == 2) == ("Interrupted" in result.output)


def test_ctrl_c_reaches_only_the_run_itself(runner: CommandRunner) -> None:
    """A terminal sends it to every process of the foreground group: ours are in none of it."""
    process = runner.start(*MESHPROOF, "test")
    wait_until(lambda: len(runner.processes()) > 10, process)
    groups = {os.getpgid(mesh_process.pid) for mesh_process in runner.processes()}
    assert os.getpgid(process.pid) not in groups
    process.send_signal(signal.SIGINT)
    assert wait_for_end(process).code == 2
    runner.assert_no_leftovers()


@pytest.mark.parametrize(
    "command", [(*MESHPROOF, "test"), SUITES_WITH_REPORT], ids=["meshproof", "pytest"]
)
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(
    runner: CommandRunner, command: tuple[str, ...]
) -> None:
    """So POSIX shells want it of background jobs (Ctrl-C), and `nohup` (SIGHUP)."""
    ignored = (signal.SIGINT, signal.SIGHUP)
    process = runner.start(*command, "-k", "rotation", ignored=ignored)
    wait_until(lambda: len(runner.processes()) > 10, process)
    for number in ignored:
        process.send_signal(number)
    result = wait_for_end(process)
    runner.assert_no_leftovers()
    assert result.code == 0, result.output


@pytest.mark.parametrize(
    "command", [(*MESHPROOF, "test"), SUITES_WITH_REPORT], ids=["meshproof", "pytest"]
)
def test_sigterm_ends_a_run_that_ignores_the_others(
    runner: CommandRunner, command: tuple[str, ...]
) -> None:
    process = runner.start(*command, ignored=(signal.SIGINT, signal.SIGHUP))
    wait_until(lambda: len(runner.processes()) > 10, process)
    process.send_signal(signal.SIGTERM)
    result = wait_for_end(process)
    runner.assert_no_leftovers()
    assert result.code == 2, result.output
    assert "Traceback" not in result.output
    check_report(runner, result)


def test_signals_reach_a_run_though_these_tests_ignore_them(runner: CommandRunner) -> None:
    """So it is where a shell runs the tests as a background job, or `nohup` does."""
    before = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)]
    try:
        process = runner.start(*MESHPROOF, "test")
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)
    wait_until(lambda: len(runner.processes()) > 10, process)
    process.send_signal(signal.SIGINT)
    assert wait_for_end(process).code == 2
    runner.assert_no_leftovers()
