from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.base.files import name_file
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.process.processes import Workspace

OUTSIDE = [
    "../../../x",
    "/etc/x",
    "..",
    ".",
    "",
    "a/b",
    "a\0b",
    "a\nb",
    "é" * 300,
    "x" * 300,
    ".x",
    "-x",
]


@pytest.mark.parametrize("name", ["reviews-v1-0.envoy", "default.reviews", "x" * 200])
def test_the_name_of_an_object_is_its_file(name: str) -> None:
    assert name_file(name) == name


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name_file(name)}.config_dump.json"
    file.touch()
    assert list(tmp_path.iterdir()) == [file]


def test_two_names_are_two_files() -> None:
    names = [*OUTSIDE, "a-b", "etc-x", "x"]
    assert len({name_file(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["../../../x", "/abs/path/outside", "x" * 300])
def test_logs_and_keys_stay_in_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "a" / "b" / "c" / "run"
    run.mkdir(parents=True)
    workspace = Workspace(run)
    process = workspace.start(name, ["true"])
    process.wait(10)
    identity = Authority(run / "certificates").issue(name, name)
    for file in (process.log, identity.key, identity.chain):
        assert file.resolve().is_relative_to(run)
        assert file.is_file()
