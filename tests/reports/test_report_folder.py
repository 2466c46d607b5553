"""A report folder shows one run: the last one, also where that has failed to begin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.base import files
from meshproof.base.errors import UsageError
from meshproof.cli import main
from meshproof.reports import record
from meshproof.run import report_folder
from meshproof.run.record import Outcome, Result, Run, list_report_files

#: As much of a record as says that it is ours.
RECORD = '{"standins": []}'


@pytest.fixture
def older(tmp_path: Path, green_run: Run) -> Path:
    """A folder with the reports of a green run, and with files that are not ours."""
    folder = tmp_path / "report"
    (folder / "diagnosis" / "split").mkdir(parents=True)
    (folder / "diagnosis" / "split" / "old.log").touch()
    for name in list_report_files():
        (folder / name).write_text("Passed: 7 of 7")
    (folder / "run.json").write_text(green_run.to_json())
    for name in ("history.jsonl", "notes.txt"):
        (folder / name).touch()
    return folder


def read_run(folder: Path) -> Run:
    return Run.from_json((folder / "run.json").read_text())


def test_each_format_says_what_it_writes() -> None:
    assert {"index.html", "junit.xml", "run.json"} <= set(list_report_files())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rules", "no-such-file.yaml"], 65, "no-such-file.yaml"),
        (["--no-such-option"], 64, "standard error says why"),
        (["--mesh-mtls", "no-such-mode"], 64, "--mesh-mtls no-such-mode: not one of"),
    ],
)
def test_a_run_that_cannot_begin_is_what_the_folder_shows(
    older: Path, arguments: list[str], code: int, message: str
) -> None:
    assert main(["test", "--report", str(older), *arguments]) == code
    run = read_run(older)
    assert run.outcome is not Outcome.PASSED
    assert message in run.error
    assert "Ended by an error" in (older / "index.html").read_text()
    assert "<failure" in (older / "junit.xml").read_text()
    left = sorted(path.name for path in older.iterdir())
    assert left == sorted([*list_report_files(), "history.jsonl", "notes.txt"])


def test_a_run_under_pytest_that_cannot_begin_leaves_no_older_report(
    older: Path, pytester: pytest.Pytester
) -> None:
    result = pytester.runpytest_subprocess("--mesh-report", older, "--mesh-rules", "no-such-file")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert sorted(path.name for path in older.iterdir()) == ["history.jsonl", "notes.txt"]


def test_a_killed_run_is_an_interrupted_one(older: Path, green_run: Run) -> None:
    writer = record.Writer(older)
    writer.started(Run("0", "local", "", "", "", results=green_run.results))
    assert read_run(older).interrupted
    assert read_run(older).outcome is Outcome.INCONCLUSIVE


def test_a_folder_that_is_no_report_keeps_its_diagnosis(tmp_path: Path) -> None:
    (tmp_path / "diagnosis").mkdir()
    report_folder.claim(tmp_path).release()
    assert (tmp_path / "diagnosis").is_dir()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """A folder to which another process writes its reports."""
    code = (
        "import pathlib, sys; from meshproof.run import report_folder;"
        "folder = report_folder.claim(pathlib.Path(sys.argv[1])); print('claimed', flush=True);"
        "(folder.path / 'run.json').touch(); print('written', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "report")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() + process.stdout.readline() == b"claimed\nwritten\n"
        yield tmp_path / "report"
        process.stdin.close()


def test_the_second_of_two_runs_says_so_and_takes_another_folder(
    busy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--report", str(busy), "--rules", "no-such-file.yaml"]) == 65
    other = busy.with_name("report-2")
    assert f"another run writes its reports to {busy}" in capsys.readouterr().err
    assert "no-such-file.yaml" in read_run(other).error
    assert (busy / "run.json").read_text() == ""


def test_a_run_claims_its_folder_once(tmp_path: Path) -> None:
    folder = report_folder.claim(tmp_path / "report")
    (folder.path / "run.json").write_text(RECORD)
    assert report_folder.claim(tmp_path / "report") is folder
    assert (folder.path / "run.json").exists()
    folder.release()
    report_folder.claim(tmp_path / "report").release()
    assert not (folder.path / "run.json").exists()


def test_no_link_is_followed(tmp_path: Path) -> None:
    victim, report = tmp_path / "victim", tmp_path / "report"
    victim.mkdir()
    (victim / "file").write_text("kept")
    report.mkdir()
    (report / "run.json").symlink_to(victim / "file")
    (report / "diagnosis").symlink_to(victim)
    report_folder.claim(report).release()
    assert list(report.iterdir()) == []
    (report / "run.json").symlink_to(victim / "file")
    record.Writer(report).ended(Run("0", "local", "", "", ""))
    assert not (report / "run.json").is_symlink()
    assert (victim / "file").read_text() == "kept"


def test_a_probe_file_is_made_exclusively(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f".probe.{os.getpid()}").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="File exists"):
        report_folder.claim(tmp_path)
    assert (tmp_path / "victim").read_text() == "kept"
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "victim", b"")


def test_what_ended_a_run_is_no_pass(green_run: Run) -> None:
    run = Run("0", "local", "", "", "", results=list(green_run.results), error="no more threads")
    assert run.outcome is Outcome.INCONCLUSIVE
    assert Run.from_json(run.to_json()).error == "no more threads"
    assert isinstance(run.results[0], Result)


def test_files_of_somebody_else_with_our_names_stay(tmp_path: Path, green_run: Run) -> None:
    (tmp_path / "diagnosis").mkdir()
    (tmp_path / "diagnosis" / "mine.txt").touch()
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    report_folder._remove_older_reports(tmp_path)
    assert (tmp_path / "diagnosis" / "mine.txt").exists()
    assert (tmp_path / "junit.xml").exists()
    (tmp_path / "run.json").write_text(green_run.to_json())
    report_folder._remove_older_reports(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == []
