"""Options of the environment and of the project's file, by every way to start a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshproof.options.table import OPTIONS
from meshproof.plugin.run_context import get_context

MESHPROOF = (sys.executable, "-m", "meshproof")
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
PLAN = ("judge", "--plan", "--expect", "v1=50,v2=50")
#: A test of a user, which needs no mesh, and one that needs nothing of ours.
JUDGES = """
def test_tolerance(judge):
    limits = judge(["v1", "v2"] * 9, expect={"v1": 50, "v2": 50}).settings
    print(f"tolerance {limits.tolerance} by {limits.origins['tolerance'].by}", flush=True)
"""
PLAIN = "def test_plain(): pass\n"


def run(
    command: tuple[str, ...], folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    ours = {name for option in OPTIONS for name in option.variables}
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**{name: text for name, text in os.environ.items() if name not in ours}, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--beta 1e-300", "--beta 1e-300: expected a number from 1e-12 to 0.5"),
        ("--alpha 1e-300", "--alpha 1e-300: expected a number from 1e-12 to 0.5"),
        ("--tolerance 1e-9", "--tolerance 1e-9: expected a number from 0.001 to 0.999"),
        ("--leak nan", "--leak nan: expected a number from 0.0001 to 0.999"),
        ("--tolerance inf", "--tolerance inf: expected a number"),
        ("--budget 1e99", "--budget 1e99: expected a whole number from 1 to 1000000000"),
        ("--look-every 99999999999", "expected a whole number from 1 to 1000000"),
        ("--expect v1=1e308,v2=1e308", "found 'v1=1e308'; a WEIGHT is a number from 0 to 1000000"),
        ("--expect v1=inf,v2=1", "found 'v1=inf'"),
        ("--expect v1=nan,v2=1", "found 'v1=nan'"),
        ("--mesh-beta 7", "--mesh-beta 7: expected a number"),
    ],
)
def test_the_judge_refuses_numbers_out_of_range(
    arguments: str, message: str, tmp_path: Path
) -> None:
    done = run(MESHPROOF, tmp_path, *PLAN, *arguments.split())
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert done.returncode == 64


def test_the_judge_says_which_place_sets_a_limit(tmp_path: Path) -> None:
    (tmp_path / "meshproof.toml").write_text("# ours\ntolerance = 0.2\n")
    from_file = run(MESHPROOF, tmp_path, *PLAN).stdout
    assert "tolerance 20 points (meshproof.toml:2: tolerance)" in from_file
    from_variable = run(MESHPROOF, tmp_path, *PLAN, MESHPROOF_TOLERANCE="0.3").stdout
    assert "tolerance 30 points (MESHPROOF_TOLERANCE)" in from_variable
    arguments = ("--mesh-tolerance", "0.4")
    from_option = run(MESHPROOF, tmp_path, *PLAN, *arguments, MESHPROOF_TOLERANCE="0.3").stdout
    assert "tolerance 40 points (--mesh-tolerance)" in from_option


@pytest.mark.parametrize("spelling", ["--tolerance", "--mesh-tolerance"])
def test_both_spellings_are_one_option(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(JUDGES)
    done = run(MESHPROOF, tmp_path, "test", spelling, "0.3", "test_own.py")
    assert "tolerance 0.3 by --mesh-tolerance" in done.stdout
    assert done.returncode in (0, 1, 3), done.stdout


@pytest.mark.parametrize("command", [(*MESHPROOF, "test", "test_own.py"), (*PYTEST, "-s")])
def test_tests_of_a_user_have_the_options_of_the_file(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "test_own.py").write_text(JUDGES)
    (tmp_path / "pyproject.toml").write_text("[tool.meshproof]\ntolerance = 0.2\n")
    assert "tolerance 0.2 by pyproject.toml:2: tolerance" in run(command, tmp_path).stdout


@pytest.mark.parametrize("extra", [(), ("--mesh-port=0",)])
def test_pytest_says_what_is_wrong_with_the_file_where_a_test_needs_it(
    extra: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "test_own.py").write_text(JUDGES)
    (tmp_path / "pyproject.toml").write_text("[tool.meshproof]\ntolerence = 0.2\n")
    done = run(PYTEST, tmp_path, *extra)
    message = "ERROR: pyproject.toml:2: tolerence: meshproof has no such option; did you mean"
    assert message in done.stdout
    assert done.returncode == pytest.ExitCode.USAGE_ERROR


def test_a_run_without_us_does_not_read_the_file(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(PLAIN)
    (tmp_path / "meshproof.toml").write_text("this is no TOML")
    done = run(PYTEST, tmp_path, MESHPROOF_PORT="http")
    assert done.returncode == 0, done.stdout


def test_bundled_promises_read_the_file_but_not_pytests_part_of_it(tmp_path: Path) -> None:
    pytests_part = "[tool.pytest.ini_options]\naddopts = '--no-such-option'\n"
    path = tmp_path / "pyproject.toml"
    path.write_text(f"{pytests_part}[tool.meshproof]\nworkers = 8\n")
    arguments = ("test", "-k", "nothing_has_this_name")
    good = run(MESHPROOF, tmp_path, *arguments)
    assert "no promise was selected" in good.stdout
    assert "no-such-option" not in good.stdout
    path.write_text(f"{pytests_part}[tool.meshproof]\nworkers = 88\n")
    bad = run(MESHPROOF, tmp_path, *arguments)
    assert "meshproof: pyproject.toml:4: workers 88: expected a whole number" in bad.stdout
    assert bad.returncode == 64


def test_lint_takes_no_option_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "meshproof.toml").write_text("this is no TOML")
    (tmp_path / "rules.yaml").write_text("")
    assert "TOML" not in run(MESHPROOF, tmp_path, "lint", "rules.yaml").stdout


def test_a_run_has_its_own_context(pytester: pytest.Pytester) -> None:
    first, second = pytester.parseconfig(), pytester.parseconfig("--mesh-workers=9")
    assert get_context(first) is get_context(first)
    assert get_context(first).run_id != get_context(second).run_id
    assert (get_context(first).options.workers, get_context(second).options.workers) == (4, 9)
    assert not [name for name in vars(first) if "meshproof" in name]
