"""What is installed works from an empty folder: the wheel (`tox -e wheel`), or a checkout by -e."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

import pytest

from meshproof.mesh.addons import names
from meshproof.run.record import Outcome, Run
from tests import ROOT

SUITE = "--pyargs", "meshproof.suites.test_rotation"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with no project above it, entered."""
    assert not [one for one in tmp_path.parents if (one / "pyproject.toml").exists()]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        text=True,
        timeout=180,
        check=False,
    )


def passed(said: str) -> int:
    """Return how many tests pytest's closing line counts as passed, none as anything worse."""
    closing = said.splitlines()[-1]
    assert "failed" not in closing, said
    assert "error" not in closing, said
    found = re.search(r"(\d+) passed", closing)
    return int(found[1]) if found else 0


def test_the_data_folders_come_from_where_it_is_installed() -> None:
    # A checkout that was built has an egg-info, too, whose list of files says nothing of a place.
    installed = [one for one in distributions(name="meshproof") if one.read_text("RECORD")]
    files = {str(file) for one in installed for file in one.files or ()}
    editable = any(file.startswith("__editable__") for file in files)
    assert editable == ("meshproof/suites/__init__.py" not in files)
    for name in ("suites", "fixtures", "manifests", "reports"):
        (place,) = import_module(f"meshproof.{name}").__path__
        assert (Path(place) == ROOT / name) == editable
        assert ("site-packages" in Path(place).parts) != editable


def test_the_main_job(empty: Path) -> None:
    done = run("meshproof", "test")
    assert done.returncode == 0, done.stdout
    assert [one.name for one in empty.iterdir()] == ["meshproof-report"]
    report = empty / "meshproof-report"
    assert {one.name for one in report.iterdir()} == {"index.html", "junit.xml", "run.json"}
    results = Run.from_json((report / "run.json").read_text()).results
    missing = [one.promise for one in results if one.outcome is Outcome.NOT_SUPPORTED]
    assert {one for one in missing if not one.startswith("control plane: ")} <= {
        f"addon {name}" for name in names()
    }
    assert all(one.outcome is Outcome.PASSED for one in results if one.promise not in missing)
    assert done.stdout.splitlines()[-1].startswith("Passed: ")


def test_the_packaged_suites_by_pytest(empty: Path) -> None:
    done = run("pytest", "--pyargs", "meshproof.suites", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) >= 14
    assert list(empty.iterdir()) == []


@pytest.mark.usefixtures("empty")
def test_the_suites_of_a_checkout_by_their_path() -> None:
    done = run("pytest", str(ROOT / "suites" / "test_rotation.py"), "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) == 1


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_every_import_mode(mode: str) -> None:
    done = run("pytest", *SUITE, "-p", "no:cacheprovider", f"--import-mode={mode}")
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) == 1


def test_the_suites_with_strict_settings_of_the_users(empty: Path) -> None:
    (empty / "pytest.ini").write_text("[pytest]\nstrict = true\nfilterwarnings = error\n")
    done = run("pytest", *SUITE, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) == 1


@pytest.mark.parametrize(
    "arguments", [("-k", "rotation"), ("test_sum.py",)], ids=["bundled", "own tests"]
)
def test_the_command_with_strict_settings_of_the_users(
    empty: Path, arguments: tuple[str, ...]
) -> None:
    (empty / "pytest.ini").write_text("[pytest]\nstrict = true\nfilterwarnings = error\n")
    (empty / "test_sum.py").write_text("def test_sum():\n    assert 1 + 1 == 2\n")
    done = run("meshproof", "test", *arguments)
    assert done.returncode == 0, done.stdout
    assert "Passed: 1 of 1 promise is kept" in done.stdout
