"""Which pytest configuration `meshproof test` reads: its own, or that of the user's tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import AssertionRewriter

import meshproof.plugin

COMMAND = (sys.executable, "-m", "meshproof", "test")
#: Collects the bundled promises and runs none of them: no mesh is started.
SELECT_NONE = ("-k", "nothing_has_this_name")
RULES = Path(__file__).parents[2] / "manifests" / "rules" / "v3_only" / "v1.yaml"

#: Files of a folder that would change a run of pytest there.
FILES = {
    "warnings are errors": {"pytest.ini": "[pytest]\nfilterwarnings = error\nstrict = true\n"},
    "unknown option in addopts": {"pytest.ini": "[pytest]\naddopts = --no-such-option\n"},
    "processes in addopts": {"tox.ini": "[pytest]\naddopts = -n auto\n"},
    "other names of tests": {
        "pyproject.toml": "[tool.pytest.ini_options]\n"
        "python_files = 'check_*.py'\npython_functions = 'check_*'\n"
    },
    "a conftest.py": {"conftest.py": "raise SystemExit('the conftest.py of this folder')\n"},
    "a plugin is required": {"pytest.ini": "[pytest]\nrequired_plugins = no-such-plugin\n"},
    "a later pytest is required": {"setup.cfg": "[tool:pytest]\nminversion = 99\n"},
    "no readable configuration": {"pytest.ini": "[pytest\n"},
}
VARIABLES = {
    "PYTEST_ADDOPTS": "--no-such-option",
    "PYTEST_PLUGINS": "no_such_plugin",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
#: A test of a user's own, which needs no mesh.
COIN = """
def test_coin(judge):
    import random
    labels = random.Random(7).choices(["v1", "v2"], k=5000)
    assert judge(labels, expect={"v1": 50, "v2": 50}).holds
"""


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**{name: os.environ[name] for name in os.environ if name not in VARIABLES}, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def assert_all_promises_were_collected(process: subprocess.CompletedProcess[str]) -> None:
    assert "no promise was selected" in process.stdout, process.stdout
    assert re.search(r"collected (\d+) items / \1 deselected", process.stdout), process.stdout
    assert process.returncode == 64


@pytest.mark.parametrize("name", FILES)
def test_bundled_promises_do_not_read_files_of_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, FILES[name])
    assert_all_promises_were_collected(run(tmp_path, *SELECT_NONE))


@pytest.mark.parametrize("name", VARIABLES)
def test_bundled_promises_do_not_read_variables_of_pytest(tmp_path: Path, name: str) -> None:
    process = run(tmp_path, *SELECT_NONE, **{name: VARIABLES[name]})
    assert_all_promises_were_collected(process)


@pytest.mark.parametrize("name", ["unknown option in addopts", "a conftest.py"])
def test_cases_of_rules_do_not_read_files_of_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, FILES[name])
    process = run(tmp_path, "--rules", str(RULES), *SELECT_NONE)
    assert "no promise was selected" in process.stdout, process.stdout


#: Runs the command in a Python that says at its end whether it has imported hypothesis.
SAYS_IF_IMPORTED = """
import atexit, sys
from meshproof.cli import main
atexit.register(lambda: print("hypothesis is imported:", "hypothesis" in sys.modules))
sys.exit(main(["test", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("arguments", "is_imported"), [(SELECT_NONE, False), (["own.py"], True)])
def test_hypothesis_is_for_own_tests(
    tmp_path: Path, arguments: Sequence[str], is_imported: bool
) -> None:
    """Importing it takes a fifth of the start, and no bundled promise uses it."""
    given = "from hypothesis import given, strategies\n\n@given(strategies.integers())\n"
    write(tmp_path, {"own.py": f"{given}def test_sum(n):\n    assert n + 1 > n\n"})
    process = subprocess.run(
        [sys.executable, "-c", SAYS_IF_IMPORTED, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    output = process.stdout
    assert output.splitlines()[-1] == f"hypothesis is imported: {is_imported}", output


@pytest.mark.local
def test_promises_pass_whatever_the_folder_says(tmp_path: Path) -> None:
    write(tmp_path, FILES["warnings are errors"] | FILES["a conftest.py"])
    write(tmp_path, {"tox.ini": FILES["processes in addopts"]["tox.ini"]})
    process = run(tmp_path, "-k", "rotation", "-W", "error", **VARIABLES)
    assert process.returncode == 0, process.stdout
    assert "Passed: 1 of 1 promise is kept" in process.stdout


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["-c", "mine.ini"], "-c"),
        (["--config-file=mine.ini"], "-c"),
        (["--rootdir", "."], "--rootdir"),
        (["--confcutdir", "."], "--confcutdir"),
        (["--override-ini", "python_functions=check_*"], "--override-ini"),
    ],
)
def test_configuration_of_another_is_refused_for_bundled_promises(
    tmp_path: Path, arguments: list[str], option: str
) -> None:
    write(tmp_path, {"mine.ini": "[pytest]\n"})
    process = run(tmp_path, *SELECT_NONE, *arguments)
    assert f"{option}: the bundled promises have a pytest configuration of their own" in (
        process.stdout
    )
    assert process.returncode == 64


def test_the_short_option_of_an_override_is_the_output_of_the_command(tmp_path: Path) -> None:
    process = run(tmp_path, *SELECT_NONE, "-o", "python_functions=check_*")
    assert process.returncode == 64
    assert "-o python_functions=check_*: not one of text, json" in process.stdout


def test_own_tests_have_the_configuration_of_their_folder(tmp_path: Path) -> None:
    ini = "[pytest]\nfilterwarnings = error\nstrict = true\npython_files = check_*.py\n"
    write(tmp_path, {"pytest.ini": f"{ini}cache_dir = .mine\nmarkers = coin: flips one\n"})
    write(tmp_path, {"conftest.py": "import pytest\n\n@pytest.fixture\ndef ready(): pass\n"})
    marked = "import pytest\n\n@pytest.mark.coin\n@pytest.mark.usefixtures('ready')"
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "check_coin.py").write_text(f"{marked}{COIN}")
    process = run(tmp_path, "checks")
    assert "Passed: 1 of 1 promise is kept" in process.stdout, process.stdout
    assert process.returncode == 0


@pytest.mark.parametrize("argument", ["--override-ini=python_functions=flip_*", "-c=mine.ini"])
def test_own_tests_take_a_configuration_by_name(tmp_path: Path, argument: str) -> None:
    write(tmp_path, {"mine.ini": "[pytest]\npython_functions = flip_*\n"})
    write(tmp_path, {"test_coin.py": COIN.replace("test_coin", "flip_coin")})
    process = run(tmp_path, *argument.split("=", 1), "test_coin.py")
    assert "Passed: 1 of 1 promise is kept" in process.stdout, process.stdout


def test_own_tests_where_pytest_loads_no_installed_plugin(tmp_path: Path) -> None:
    write(tmp_path, {"test_coin.py": COIN})
    process = run(tmp_path, "test_coin.py", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "Passed: 1 of 1 promise is kept" in process.stdout, process.stdout


def test_bundled_promises_by_pyargs_have_the_conftest_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, FILES["a conftest.py"])
    process = run(tmp_path, "--pyargs", "meshproof.suites")
    assert "the conftest.py of this folder" in process.stdout


def test_the_value_of_an_option_is_no_path_of_own_tests(tmp_path: Path) -> None:
    """Here -k selects by name, though a folder of that name is there."""
    (tmp_path / SELECT_NONE[1]).mkdir()
    write(tmp_path, FILES["unknown option in addopts"])
    assert_all_promises_were_collected(run(tmp_path, *SELECT_NONE))


def test_nothing_warns_that_the_package_was_imported_before_pytest() -> None:
    """The wheel's own modules are marked for rewriting; the command has imported one already."""
    for module in (meshproof, meshproof.plugin):
        assert AssertionRewriter.is_rewrite_disabled(module.__doc__ or "")
