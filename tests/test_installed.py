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

from meshproof.mesh.addons import list_addons
from meshproof.run.record import Outcome, Run
from tests import ROOT

SUITE = "--pyargs", "meshproof.suites.test_rotation"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with no project above it, entered."""
    assert not [parent for parent in tmp_path.parents if (parent / "pyproject.toml").exists()]
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


def count_passed(output: str) -> int:
    """Return how many tests pytest's closing line counts as passed, none as anything worse."""
    closing = output.splitlines()[-1]
    assert "failed" not in closing, output
    assert "error" not in closing, output
    match = re.search(r"(\d+) passed", closing)
    return int(match[1]) if match else 0


def test_the_data_folders_come_from_where_it_is_installed() -> None:
    # A checkout that was built has an egg-info, too, whose list of files says nothing of a place.
    candidates = [
        candidate for candidate in distributions(name="meshproof") if candidate.read_text("RECORD")
    ]
    files = {str(file) for candidate in candidates for file in candidate.files or ()}
    editable = any(file.startswith("__editable__") for file in files)
    assert editable == ("meshproof/suites/__init__.py" not in files)
    for name in ("suites", "fixtures", "manifests", "reports"):
        (folder,) = import_module(f"meshproof.{name}").__path__
        assert (Path(folder) == ROOT / name) == editable
        assert ("site-packages" in Path(folder).parts) != editable


def test_the_main_job(empty: Path) -> None:
    process = run("meshproof", "test")
    assert process.returncode == 0, process.stdout
    assert [path.name for path in empty.iterdir()] == ["meshproof-report"]
    report = empty / "meshproof-report"
    names = {"conformance.yaml", "history.jsonl", "index.html", "junit.xml", "metrics.prom"}
    assert {path.name for path in report.iterdir()} == {*names, "results.sarif", "run.json"}
    results = Run.from_json((report / "run.json").read_text()).results
    missing = [result.promise for result in results if result.outcome is Outcome.NOT_SUPPORTED]
    assert {promise for promise in missing if not promise.startswith("control plane: ")} <= {
        f"addon {name}" for name in list_addons()
    }
    assert all(
        result.outcome is Outcome.PASSED for result in results if result.promise not in missing
    )
    assert process.stdout.splitlines()[-1].startswith("Passed: ")


def test_the_packaged_suites_by_pytest(empty: Path) -> None:
    process = run("pytest", "--pyargs", "meshproof.suites", "-p", "no:cacheprovider")
    assert process.returncode == 0, process.stdout
    assert count_passed(process.stdout) >= 14
    assert list(empty.iterdir()) == []


@pytest.mark.usefixtures("empty")
def test_the_suites_of_a_checkout_by_their_path() -> None:
    process = run("pytest", str(ROOT / "suites" / "test_rotation.py"), "-p", "no:cacheprovider")
    assert process.returncode == 0, process.stdout
    assert count_passed(process.stdout) == 1


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_every_import_mode(mode: str) -> None:
    process = run("pytest", *SUITE, "-p", "no:cacheprovider", f"--import-mode={mode}")
    assert process.returncode == 0, process.stdout
    assert count_passed(process.stdout) == 1


def test_the_suites_with_strict_settings_of_the_users(empty: Path) -> None:
    (empty / "pytest.ini").write_text("[pytest]\nstrict = true\nfilterwarnings = error\n")
    process = run("pytest", *SUITE, "-p", "no:cacheprovider")
    assert process.returncode == 0, process.stdout
    assert count_passed(process.stdout) == 1


@pytest.mark.parametrize(
    "arguments", [("-k", "rotation"), ("test_sum.py",)], ids=["bundled", "own tests"]
)
def test_the_command_with_strict_settings_of_the_users(
    empty: Path, arguments: tuple[str, ...]
) -> None:
    (empty / "pytest.ini").write_text("[pytest]\nstrict = true\nfilterwarnings = error\n")
    (empty / "test_sum.py").write_text("def test_sum():\n    assert 1 + 1 == 2\n")
    process = run("meshproof", "test", *arguments)
    assert process.returncode == 0, process.stdout
    assert "Passed: 1 of 1 promise is kept" in process.stdout
