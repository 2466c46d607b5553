import json
from pathlib import Path

import pytest

from meshproof.reports import _files, record
from meshproof.run.record import Run, formats, writers


def test_run_json_reads_back_as_the_same_run(mixed_run: Run, tmp_path: Path) -> None:
    record.Writer(tmp_path).ended(mixed_run)
    run = Run.from_json((tmp_path / "run.json").read_text("utf-8"))
    assert run == mixed_run
    assert run.exit_code == mixed_run.exit_code


def test_a_record_says_how_the_mesh_settled_or_is_read_without(green_run: Run) -> None:
    stored = json.loads(green_run.to_json())
    assert [result.pop("served") for result in stored["results"]] == [
        {"version": "3f2a19c8d7e6b5a4", "proxies": 11, "seconds": 0.214, "requests": 0},
        None,
    ]
    assert [result.served for result in Run.from_json(json.dumps(stored)).results] == [None, None]


@pytest.mark.parametrize("name", ["empty_run", "hostile_run"])
def test_odd_runs_survive_too(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = request.getfixturevalue(name)
    record.Writer(tmp_path).ended(run)
    assert Run.from_json((tmp_path / "run.json").read_text("utf-8")) == run


def test_a_failed_write_leaves_the_old_report_and_no_draft(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    _files.write_report(folder / "page", "old")
    (folder / "page.d").mkdir()
    with pytest.raises(IsADirectoryError):
        _files.write_report(folder / "page.d", "a folder is in the way")
    _files.write_report(folder / "page", "new \udc80")
    assert (folder / "page").read_text("utf-8") == "new \\udc80"
    assert sorted(path.name for path in folder.iterdir()) == ["page", "page.d"]


def test_formats_are_the_public_modules_of_the_folder(tmp_path: Path) -> None:
    assert {"console", "html", "junit", "record"} <= set(formats())
    assert not [name for name in formats() if name.startswith("_")]
    assert len(writers(formats(), tmp_path)) == len(formats())
