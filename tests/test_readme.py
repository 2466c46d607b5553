"""What README.md says is so: its examples run, its tables are the code's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from meshproof.base import errors
from tests import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)
SHOP = ROOT / "tests" / "user_repo" / "shop" / "k8s"
#: Only `meshproof test` itself gives it.
INTERNAL = {"--mesh-cli"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables whose first header cell is `heading`."""
    tables = [text.partition("\n\n")[0] for text in README.split(f"\n| {heading} |")[1:]]
    assert tables, f"no table {heading}"
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def python(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def examples(pytester: pytest.Pytester) -> pytest.Pytester:
    """Write every Python block into the file that its first line names."""
    for language, text in BLOCKS:
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            (pytester.path / name).write_text(text)
    return pytester


def test_the_first_screen_is_the_command_and_what_it_prints() -> None:
    first = README.splitlines()[:12]
    assert "    $ pip install . && meshproof test" in first
    assert any(line.startswith("    + productpage ") for line in README.splitlines()[:16])


def test_ci_runs_the_two_commands_word_for_word() -> None:
    ended = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "commands"], capture_output=True, text=True, check=True
    )
    commands = ended.stdout.splitlines()
    assert commands == ["pip install . && meshproof test", "pip install tox && tox"]
    assert all(f"\n    {command} " in README for command in commands)


def test_the_exit_codes_are_those_of_the_code() -> None:
    table = {int(code): meaning.partition(":")[0] for code, meaning in rows("exit code")}
    assert table == errors.EXIT_CODES
    order = ", ".join(str(code) for code in errors.PRECEDENCE)
    assert f"the first of these counts: {order}." in " ".join(README.split())


def test_the_options_are_those_of_the_plugin() -> None:
    told = set(re.findall(r"--mesh[\w-]*", "".join(row[0] for row in rows("option"))))
    there = set(re.findall(r"(?<![\w-])--mesh[\w-]*", python("pytest", "--help")))
    assert told == there - INTERNAL
    assert set(re.findall(r"--mesh[\w-]*", README)) <= there


def test_the_commands_are_there() -> None:
    usage = python("meshproof", "--help")
    told = set(re.findall(r"`meshproof (\w+)", README))
    assert told
    assert all(re.search(rf"^    {command} ", usage, re.M) for command in told)


def test_the_judge_example_passes(examples: pytest.Pytester) -> None:
    (examples.path / "conftest.py").unlink()
    done = examples.runpytest_subprocess("test_labels.py")
    done.assert_outcomes(passed=1)


@pytest.mark.local
def test_the_example_of_an_own_test_passes(examples: pytest.Pytester) -> None:
    shutil.copytree(SHOP, examples.path / "k8s")
    done = examples.runpytest_subprocess("test_shop.py")
    done.assert_outcomes(passed=1)


def test_the_example_for_ci_is_yaml_with_our_commands() -> None:
    (text,) = [text for language, text in BLOCKS if language == "yaml"]
    said = [step["run"] for step in yaml.safe_load(text)["steps"]]
    assert any(line.startswith("meshproof test ") for line in said)


def test_the_architecture_is_short() -> None:
    section = README.partition("\n## How it is made\n")[2].partition("\n## ")[0]
    assert 10 <= len(section.splitlines()) <= 60


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_no_path_of_somebodys_machine_is_named(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users)/", text)


def test_every_recipe_of_contributing_is_short() -> None:
    for recipe in (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")[1:]:
        assert len(recipe.strip().splitlines()) <= 13, recipe
