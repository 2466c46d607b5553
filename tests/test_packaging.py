from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests import ROOT

#: Made by a run or a build, ignored by git: none of it may get into a package.
JUNK = (
    "docs/lint/MP0001.md",
    "fixtures/__pycache__/mesh.cpython-311.pyc",
    "meshproof-report/index.html",
    "reports/out/run.html",
    "reports/out/rules.yaml",
)
#: What setuptools would take into a wheel from an earlier build, were it not for the sdist.
STALE = "build/lib/meshproof/stale.py"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def in_git() -> list[str]:
    """Return every file of the checkout that git tracks."""
    try:
        return tracked_files(ROOT)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the list of files comes from git, and this is no checkout of it")


def tracked_files(folder: Path) -> list[str]:
    """Return the files of a checkout that are git's: what else lies there is the developer's."""
    command = ["git", "ls-files", "--cached"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [name for name in process.stdout.splitlines() if (folder / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, in_git: list[str]) -> Path:
    """Build in a copy of the checkout with junk in it; return the folder of what was built.

    A wheel straight from the checkout (`pip install .`) is in straight/; the sdist and the wheel
    that is made of it (a release) are in dist/.
    """
    pytest.importorskip("setuptools", "80", reason="building takes setuptools 80")
    copy = tmp_path_factory.mktemp("checkout")
    for name in in_git:
        write_file(copy / name, (ROOT / name).read_bytes())
    for name in JUNK:
        write_file(copy / name, b"junk")
    build("wheel", copy, copy / "straight")
    write_file(copy / STALE, b"junk")
    sdist = build("sdist", copy, copy / "dist")
    with tarfile.open(copy / "dist" / sdist) as opened:
        opened.extractall(copy / "unpacked", filter="data")
    build("wheel", copy / "unpacked" / sdist.removesuffix(".tar.gz"), copy / "dist")
    return copy


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def build(kind: str, source: Path, dist: Path) -> str:
    """Build as pip does, with the backend of this environment; return the name of the file."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(dist)!r}))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout.splitlines()[-1]


def list_package_folders(project: dict[str, Any]) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield package -> folder, by the longest mapped package that it is in."""
    mapped = project["tool"]["setuptools"]["package-dir"]
    for package in project["tool"]["setuptools"]["packages"]:
        parent = max((name for name in mapped if f"{package}.".startswith(f"{name}.")), key=len)
        inside = package.removeprefix(parent).strip(".").replace(".", "/")
        yield package, PurePosixPath(mapped[parent]) / inside


def find_wheel_path(project: dict[str, Any], name: str) -> str | None:
    """Return where a file of the checkout is in the wheel, None if it is in no package."""
    path = PurePosixPath(name)
    homes = [
        (package, home)
        for package, home in list_package_folders(project)
        if path.is_relative_to(home)
    ]
    if not homes:
        return None
    package, home = max(homes, key=lambda pair: len(pair[1].parts))
    return str(PurePosixPath(*package.split(".")) / path.relative_to(home))


def test_every_folder_with_modules_is_in_the_list_of_packages(
    project: dict[str, Any], in_git: list[str]
) -> None:
    package_folders = {str(folder) for _, folder in list_package_folders(project)}
    roots = tuple(f"{root}/" for root in project["tool"]["setuptools"]["package-dir"].values())
    module_folders = {
        str(PurePosixPath(name).parent)
        for name in in_git
        if name.startswith(roots) and name.endswith(".py")
    }
    assert module_folders == package_folders
    assert all(f"{folder}/__init__.py" in in_git for folder in package_folders)


def test_what_a_developer_keeps_in_a_checkout_is_no_part_of_it(tmp_path: Path) -> None:
    write_file(tmp_path / "module.py", b"")
    for command in (["git", "init", "-q"], ["git", "add", "module.py"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    write_file(tmp_path / "notes.txt", b"stray")
    write_file(tmp_path / "venv" / "pyvenv.cfg", b"stray")
    assert tracked_files(tmp_path) == ["module.py"]


def test_the_plugin_is_called_as_its_module(project: dict[str, Any]) -> None:
    declared = project["project"]["entry-points"]["pytest11"]
    assert declared == {"meshproof.plugin": "meshproof.plugin"}
    (entry_point,) = [
        entry_point
        for entry_point in entry_points(group="pytest11")
        if entry_point.name.startswith("meshproof")
    ]
    assert entry_point.value == entry_point.name == "meshproof.plugin"


@pytest.mark.parametrize("folder", ["straight", "dist"])
def test_the_wheel_has_what_git_has(
    project: dict[str, Any], in_git: list[str], built: Path, folder: str
) -> None:
    (wheel,) = (built / folder).glob("*.whl")
    wheel_files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected_files = {find_wheel_path(project, name) for name in in_git} - {None}
    assert wheel_files == expected_files
    assert {
        "meshproof/cli/bundled_pytest.ini",
        "meshproof/py.typed",
        "meshproof/manifests/apps/bookinfo.yaml",
        "meshproof/manifests/rules/v3_only/v1alpha2.yaml",
        "meshproof/reports/templates/run.html",
        "meshproof/suites/test_v3_only.py",
    } <= wheel_files


def test_the_wheel_names_its_licence_and_its_readme(built: Path) -> None:
    (wheel,) = (built / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        info = {name.partition(".dist-info/")[2]: name for name in opened.namelist()}
        assert "licenses/LICENSE" in info
        metadata = opened.read(info["METADATA"]).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "meshproof test" in metadata


def test_the_sdist_has_what_git_has(in_git: list[str], built: Path) -> None:
    (sdist,) = (built / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = [member.name.partition("/")[2] for member in opened if member.isfile()]
    generated = {"PKG-INFO", "setup.cfg"}
    sdist_files = {name for name in names if name not in generated and ".egg-info/" not in name}
    assert sdist_files == set(in_git) - {".gitignore"}
    assert {"conftest.py", "constraints.txt", "tox.ini", "tests/test_packaging.py"} <= sdist_files
