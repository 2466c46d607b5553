from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).with_name("shop")
PLAIN = """
import sys

def test_one():
    assert 1 + 1 == 2

def test_two(tmp_path, capsys):
    print("said")
    assert capsys.readouterr().out == "said\\n"

def test_three():
    assert "meshproof.verdict" in sys.modules, "nothing of us is loaded"
"""
#: Imported by nobody before our fixtures or options are used.
HEAVY = (
    "statsmodels",
    "scipy",
    "kubernetes",
    "meshproof.mesh",
    "meshproof.verdict",
    "urllib3",
    "pycurl",
)


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    """A checkout of the user's repository, entered."""
    shutil.copytree(SHOP, pytester.path, dirs_exist_ok=True)
    return pytester


def lines(done: pytest.RunResult) -> list[str]:
    """Return the output without what differs between any two runs: plugins, durations."""
    prefixes = ("plugins: ", "===")
    return [line for line in done.outlines if not line.startswith(prefixes)]


@pytest.mark.local
def test_own_tests_and_the_packaged_suites_use_the_users_apps(shop: pytest.Pytester) -> None:
    done = shop.runpytest_subprocess(
        "--pyargs", "test_shop.py", "meshproof.suites.test_rotation", "-p", "no:cacheprovider"
    )
    done.assert_outcomes(passed=3)


@pytest.mark.local
def test_the_command_runs_own_tests_given_as_a_path(shop: pytest.Pytester) -> None:
    done = shop.run(sys.executable, "-m", "meshproof", "test", "test_shop.py")
    assert done.ret == 0, done.outlines
    done.stdout.fnmatch_lines(["Passed: 2 of 2 promises are kept. *reports in meshproof-report"])


@pytest.mark.local
def test_a_mesh_of_the_users_own_replaces_ours(shop: pytest.Pytester) -> None:
    shop.makeconftest(
        """
import pytest

class Recorded:
    def replicas(self):
        return []

@pytest.fixture(scope="session")
def mesh():
    return Recorded()
"""
    )
    shop.makepyfile(test_own="def test_own(mesh):\n    assert type(mesh).__name__ == 'Recorded'\n")
    done = shop.runpytest_subprocess("test_own.py")
    done.assert_outcomes(passed=1)


def test_a_run_that_does_not_use_us_is_not_changed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PLAIN)
    with_us = pytester.runpytest_subprocess("-v")
    without = pytester.runpytest_subprocess("-v", "-p", "no:meshproof.plugin")
    with_us.assert_outcomes(passed=2, failed=1)
    assert with_us.ret == without.ret == 1
    assert lines(with_us) == lines(without)


def test_a_run_that_does_not_use_us_loads_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
import sys

def test_modules():
    assert "meshproof.plugin" in sys.modules
    assert [name for name in {HEAVY} if name in sys.modules] == []
"""
    )
    # pytest-kubernetes, one of our dependencies, is a plugin of its own.
    done = pytester.runpytest_subprocess("-p", "no:kubernetes")
    done.assert_outcomes(passed=1)


def test_the_judge_needs_no_mesh(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_coin(judge):
    assert judge(["v1", "v2"] * 5, expect=["v1", "v2"], present=0.99).holds
"""
    )
    done = pytester.runpytest_subprocess("--fixtures-per-test")
    done.stdout.fnmatch_lines(["judge*"])
    done.stdout.no_fnmatch_line("mesh*")
