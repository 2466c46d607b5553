"""A folder in which no report can be written: said before the mesh is started, exit code 64."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.robust.real_runs import MESHPROOF, Place


def refused(place: Place, report: str, reason: str, *command: str) -> None:
    command = command or (*MESHPROOF, "test", "--report", report)
    ended = place.run(*command)
    said = rf"ERROR: {re.escape(report)}: reports cannot be written there: {reason}\n"
    assert re.search(said, ended.said), ended.said
    assert "proves" not in ended.said, "the run has begun"
    assert "Traceback" not in ended.said
    assert ended.code == 64
    place.assert_nothing_left()


def test_a_file_is_there(place: Place) -> None:
    (place.folder / "report").touch()
    refused(place, "report", "File exists")


def test_a_place_where_nothing_can_be_made(place: Place) -> None:
    refused(place, "/proc/report", "No such file or directory")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours(place: Place) -> None:
    (place.folder / "report").mkdir(mode=0o500)
    refused(place, "report", "Permission denied")


def test_a_disk_that_takes_no_more(place: Place) -> None:
    command = shlex.join([*MESHPROOF, "test", "--report", "report"])
    refused(place, "report", "File too large", "sh", "-c", f"ulimit -f 16; exec {command}")
    assert list((place.folder / "report").iterdir()) == []


OWN_TEST = """\
import shutil, pathlib

def test_own():
    shutil.rmtree("report")
    pathlib.Path("report").touch()
"""


def test_a_report_that_cannot_be_written_in_the_end_is_not_green(place: Place) -> None:
    Path(place.folder / "test_own.py").write_text(OWN_TEST)
    ended = place.run(*MESHPROOF, "test", "--report", "report", "test_own.py")
    assert "meshproof: a report cannot be written: " in ended.said
    assert "Passed: 1 of 1" in ended.said
    assert "Traceback" not in ended.said
    assert ended.code == 64
