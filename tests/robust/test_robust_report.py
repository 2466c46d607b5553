"""A folder that takes no report: an error before the mesh is started, exit code 64."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.robust.real_runs import MESHPROOF, CommandRunner


def assert_refused(runner: CommandRunner, report: str, reason: str, *command: str) -> None:
    command = command or (*MESHPROOF, "test", "--report", report)
    result = runner.run(*command)
    pattern = rf"meshproof: {re.escape(report)}: reports cannot be written there: {reason}\n"
    assert re.search(pattern, result.output), result.output
    assert "proves" not in result.output, "the run has begun"
    assert "Traceback" not in result.output
    assert result.code == 64
    runner.assert_no_leftovers()


def test_a_file_is_there(runner: CommandRunner) -> None:
    (runner.folder / "report").touch()
    assert_refused(runner, "report", "File exists")


def test_a_place_where_nothing_can_be_made(runner: CommandRunner) -> None:
    assert_refused(runner, "/proc/report", "No such file or directory")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours(runner: CommandRunner) -> None:
    (runner.folder / "report").mkdir(mode=0o500)
    assert_refused(runner, "report", "Permission denied")


def test_a_disk_that_takes_no_more(runner: CommandRunner) -> None:
    command = shlex.join([*MESHPROOF, "test", "--report", "report"])
    assert_refused(runner, "report", "File too large", "sh", "-c", f"ulimit -f 16; exec {command}")
    assert list((runner.folder / "report").iterdir()) == []


OWN_TEST = """\
import shutil, pathlib

def test_own():
    shutil.rmtree("report")
    pathlib.Path("report").touch()
"""


def test_a_report_that_cannot_be_written_in_the_end_is_not_green(runner: CommandRunner) -> None:
    Path(runner.folder / "test_own.py").write_text(OWN_TEST)
    result = runner.run(*MESHPROOF, "test", "--report", "report", "test_own.py")
    assert "meshproof: a report cannot be written: " in result.output
    assert "Passed: 1 of 1" in result.output
    assert "Traceback" not in result.output
    assert result.code == 64
