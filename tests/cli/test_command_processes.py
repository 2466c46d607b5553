"""`-n` of pytest-xdist: not used by `meshproof test`, refused where workers would write reports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOTE = (
    "is not used: one mesh and one error budget are shared by all checks; --mesh-workers sets how "
    "many requests go out at a time"
)
COIN = """
import random

def test_coin(judge):
    labels = random.Random(7).choices(["v1", "v2"], k=5000)
    assert judge(labels, expect={"v1": 50, "v2": 50}).holds

def test_sum():
    assert 1 + 1 == 2
"""
#: What a test of a user's own does -> the exit code of the run.
ENDINGS = {
    "assert True": 0,
    "assert False": 1,
    "from meshproof.base.errors import Inconclusive; raise Inconclusive('nobody can tell')": 3,
    "from meshproof.base.errors import NotReady; raise NotReady('no pod')": 69,
}


def run_command(
    pytester: pytest.Pytester, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `meshproof test`; return the process and the notes of its record."""
    command = [sys.executable, "-m", "meshproof", "test", *arguments]
    process = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, timeout=120, check=False
    )
    record = pytester.path / "meshproof-report" / "run.json"
    notes = json.loads(record.read_text())["notes"] if record.exists() else []
    return process, notes


@pytest.mark.parametrize("arguments", [("-n", "2"), ("-n2",), ("--numprocesses=2",)])
def test_the_command_runs_in_one_process(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_coin=COIN)
    process, notes = run_command(pytester, "test_coin.py", *arguments)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Passed: 2 of 2 promises are kept" in process.stdout
    assert notes == [f"-n 2 {NOTE}"]
    assert "-n 2 is not used" in process.stdout


@pytest.mark.parametrize(
    ("addopts", "ignored_option"),
    [
        ("-n auto", "-n auto"),
        ("--dist loadfile --tx 2*popen", "--dist loadfile"),
        ("-d --tx 2*popen", "--dist load"),
    ],
)
def test_the_command_runs_in_one_process_where_addopts_ask_for_more(
    pytester: pytest.Pytester, addopts: str, ignored_option: str
) -> None:
    pytester.makeini(f"[pytest]\naddopts = {addopts}\n")
    pytester.makepyfile(test_coin=COIN)
    process, notes = run_command(pytester, "test_coin.py")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Passed: 2 of 2 promises are kept" in process.stdout
    assert notes == [f"{ignored_option} {NOTE}"]


@pytest.mark.parametrize("arguments", [(), ("-n", "0"), ("--dist", "load")])
def test_nothing_is_noted_where_nobody_asks_for_more_processes(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_coin=COIN)
    process, notes = run_command(pytester, "test_coin.py", *arguments)
    assert (process.returncode, notes) == (0, [])


@pytest.mark.parametrize("body", ENDINGS)
def test_exit_codes_with_more_processes_asked_for(pytester: pytest.Pytester, body: str) -> None:
    pytester.makepyfile(test_own=f"def test_own():\n    {body}\n")
    process, _ = run_command(pytester, "-n", "2", "test_own.py")
    assert process.returncode == ENDINGS[body], process.stdout + process.stderr


def test_a_usage_error_with_more_processes_asked_for(pytester: pytest.Pytester) -> None:
    process, _ = run_command(pytester, "-n", "2", "no_such_file.py")
    assert process.returncode == 64
    assert "file or directory not found: no_such_file.py" in process.stderr


def test_without_xdist_its_option_is_unknown(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_coin=COIN)
    process, _ = run_command(pytester, "-p", "no:xdist", "-n", "2", "test_coin.py")
    assert process.returncode == 64
    assert "unrecognized arguments: -n" in process.stderr


@pytest.mark.local
def test_bundled_promises_run_in_one_process(pytester: pytest.Pytester) -> None:
    process, notes = run_command(pytester, "-n", "2", "-k", "rotation")
    assert process.returncode == 0, process.stdout + process.stderr
    assert notes[0] == f"-n 2 {NOTE}"


def test_reports_of_plain_pytest_in_more_processes_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_coin=COIN)
    process = pytester.runpytest_subprocess("-n", "2", "--mesh-report", "report")
    assert process.ret == pytest.ExitCode.USAGE_ERROR
    process.stderr.fnmatch_lines(
        ["ERROR: -n 2 with --mesh-report: each worker would write the same reports; give -n 0, *"]
    )


def test_plain_pytest_in_one_process_writes_reports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_coin=COIN)
    process = pytester.runpytest_subprocess("-n", "0", "--mesh-report", "report")
    process.assert_outcomes(passed=2)
    assert (pytester.path / "report" / "run.json").exists()


def test_plain_pytest_in_more_processes_goes_on_without_reports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_coin=COIN)
    process = pytester.runpytest_subprocess("-n", "2")
    process.assert_outcomes(passed=2)
