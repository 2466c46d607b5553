"""Internal errors (exit code 70, no verdict), and the order of the exit codes."""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from meshproof import cli
from meshproof.base import errors
from meshproof.run.record import Outcome, Result, Run

ROOT = Path(__file__).parents[2]
TRACKER = "report it to this project's issue tracker"


def run_spoiled(
    pytester: pytest.Pytester, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run `meshproof test` with `code` as a pytest plugin, as tests/faults does."""
    pytester.makepyfile(spoiling=code)
    command = [sys.executable, "-m", "meshproof", "test", "-p", "spoiling", *arguments]
    return subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, timeout=120, check=False
    )


def assert_internal_error(process: subprocess.CompletedProcess[str], summary: str) -> None:
    text = process.stdout + process.stderr
    flat = " ".join(text.split())
    assert process.returncode == errors.EXIT_INTERNAL, text
    assert f"internal error: {summary}" in flat, text
    assert TRACKER in flat, text
    assert "broken" not in text
    assert "Failed:" not in text
    assert "site-packages/_pytest/runner.py" not in process.stdout
    before = text.partition("Traceback")[0].partition("INTERNALERROR")[0]
    assert summary in " ".join(before.split()), text


def write_spoiling_plugin(raised: str, *, where: str = "meshproof.fixtures.mesh.open_mesh") -> str:
    """Return the code of a plugin that has a function of ours raise."""
    return f"""
import importlib
import pytest

@pytest.hookimpl(trylast=True)
def pytest_configure():
    module = importlib.import_module("{where.rpartition(".")[0]}")

    def spoiled(*arguments, **settings):
        raise {raised}

    module.{where.rpartition(".")[2]} = spoiled
"""


@pytest.mark.parametrize(
    ("raised", "summary"),
    [
        ("OSError(28, 'No space left on device', '/t/x')", "OSError: [Errno 28] No space left on"),
        ('RuntimeError("can\'t start new thread")', "RuntimeError: can't start new thread"),
        ("FileNotFoundError(2, 'No such file', '/proc/stat')", "FileNotFoundError: [Errno 2]"),
    ],
)
def test_a_mesh_that_cannot_be_started_for_reasons_of_this_machine(
    pytester: pytest.Pytester, raised: str, summary: str
) -> None:
    code = write_spoiling_plugin(raised, where="meshproof.mesh.protocol.open_mesh")
    assert_internal_error(run_spoiled(pytester, code, "-k", "rotation"), summary)


def test_our_fixture_under_a_test_of_the_users_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="def test_own(visit): pass\n")
    code = write_spoiling_plugin("KeyError('v1')", where="meshproof.mesh.protocol.open_mesh")
    assert_internal_error(run_spoiled(pytester, code, "test_own.py"), "KeyError: 'v1'")


@pytest.mark.local
def test_an_error_within_a_bundled_promise(pytester: pytest.Pytester) -> None:
    code = write_spoiling_plugin(
        "RuntimeError('what is this')", where="meshproof.plugin.settings.label_sample"
    )
    process = run_spoiled(pytester, code, "-k", "rotation")
    assert_internal_error(process, "RuntimeError: what is this")
    assert "Internal error: 1 of 1 promise could not be checked" in process.stdout


@pytest.mark.parametrize(
    "code",
    [
        "def test_own(): raise KeyError('v1')",
        "def test_own(tmp_path): (tmp_path / 'a' / 'b').read_text()",
        "import pytest\n\n@pytest.fixture\ndef mine(): 1 / 0\n\ndef test_own(mine): pass",
        "import pytest\n\ndef test_own(): pytest.fail('no')",
    ],
)
def test_an_error_of_a_users_own_test_is_a_failed_test(
    pytester: pytest.Pytester, code: str
) -> None:
    pytester.makepyfile(test_own=code)
    process = run_spoiled(pytester, "", "test_own.py")
    assert process.returncode == errors.EXIT_FAILED, process.stdout + process.stderr
    assert TRACKER not in process.stdout + process.stderr
    assert "During handling of" not in process.stdout
    assert "run_suites" not in process.stdout


@pytest.mark.parametrize("hook", ["pytest_collection_finish(session)", "pytest_sessionstart()"])
def test_an_error_between_the_tests(pytester: pytest.Pytester, hook: str) -> None:
    code = f"def {hook}:\n    raise RuntimeError('what is this')\n"
    assert_internal_error(
        run_spoiled(pytester, code, "-k", "rotation"), "RuntimeError: what is this"
    )


def test_a_bundled_promise_that_cannot_be_collected(pytester: pytest.Pytester) -> None:
    code = (
        "def pytest_pycollect_makemodule(module_path, parent):\n    raise ValueError('spoiled')\n"
    )
    process = run_spoiled(pytester, code)
    assert_internal_error(process, "RuntimeError: a promise cannot be collected")
    assert "ValueError: spoiled" in process.stderr


def test_an_error_of_ours_between_the_tests_keeps_its_exit_code(pytester: pytest.Pytester) -> None:
    code = """
from meshproof.base.errors import BadRules

def pytest_collection_finish(session):
    raise BadRules("rules.yaml:1: unreadable")
"""
    process = run_spoiled(pytester, code, "-k", "rotation")
    assert process.returncode == errors.EXIT_BAD_RULES
    assert process.stderr == "meshproof: rules.yaml:1: unreadable\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("v1")])
def test_an_error_of_another_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def spoiled(options: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("meshproof.cli.lint.run", spoiled)
    assert cli.main(["lint", "rules.yaml"]) == errors.EXIT_INTERNAL
    text = capsys.readouterr().err
    assert text.startswith(f"meshproof: internal error: {type(error).__name__}: ")
    assert TRACKER in " ".join(text.partition("Traceback")[0].split())


def test_a_machine_on_which_no_file_can_be_written(pytester: pytest.Pytester) -> None:
    line = f"ulimit -f 0; {sys.executable} -m meshproof mesh up 2>&1 | cat"
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    process = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, check=False
    )
    assert_internal_error(process, "FileNotFoundError: [Errno 2] No usable temporary directory")


def test_every_exit_code_has_its_meaning_and_its_rank() -> None:
    codes = {
        value
        for name, value in vars(errors).items()
        if name.startswith("EXIT_") and isinstance(value, int)
    }
    assert codes == set(errors.EXIT_CODES) == set(errors.PRECEDENCE)
    assert len(errors.PRECEDENCE) == len(codes)


@pytest.mark.parametrize(
    "command",
    ["", "test", "mesh", "mesh up", "images", "images list", *sorted({*cli._MODULES} - {"images"})],
)
def test_every_help_ends_with_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert text.endswith(errors.describe_exit_codes())
    assert text.count("exit codes: ") == 1


@pytest.mark.parametrize(("worse", "better"), [*itertools.pairwise(errors.PRECEDENCE)])
def test_of_two_exit_codes_the_worse_counts(worse: int, better: int) -> None:
    assert errors.choose_exit_code([better, worse, better]) == worse


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.INTERNAL_ERROR, Outcome.FAILED], errors.EXIT_INTERNAL),
        ([Outcome.FAILED, Outcome.MESH_NOT_READY], errors.EXIT_FAILED),
        ([Outcome.MESH_NOT_READY, Outcome.INCONCLUSIVE], errors.EXIT_NOT_READY),
        ([Outcome.INCONCLUSIVE, Outcome.PASSED], errors.EXIT_INCONCLUSIVE),
        ([Outcome.PASSED, Outcome.NOT_SUPPORTED], errors.EXIT_PASSED),
    ],
)
def test_the_exit_code_of_a_run_is_that_of_its_worst_result(
    outcomes: list[Outcome], code: int
) -> None:
    results = [Result("name", "title", outcome) for outcome in outcomes]
    for ordered in (results, results[::-1]):
        run = Run("0", "local", "", "", "", results=ordered)
        assert run.exit_code == code
        assert Run("0", "local", "", "", "", results=ordered, interrupted=True).exit_code == 2


def test_of_meshes_that_were_not_ready_the_worst_exit_code_counts() -> None:
    codes = (errors.EXIT_NOT_READY, errors.EXIT_BAD_RULES, errors.EXIT_USAGE)
    results = [Result("n", "t", Outcome.MESH_NOT_READY, exit_code=code) for code in codes]
    assert Run("0", "local", "", "", "", results=results).exit_code == errors.EXIT_USAGE
