"""What the two READMEs show first is so, and short; the examples of the guides run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests import ROOT

README = (ROOT / "README.md").read_text("utf-8")
KOREAN = (ROOT / "README.ko.md").read_text("utf-8")
GUIDES = ROOT / "docs" / "guides"
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```",
    "".join((GUIDES / name).read_text("utf-8") for name in ("own-tests.md", "ci.md")),
    re.M | re.S,
)
SHOP = ROOT / "tests" / "user_repo" / "shop" / "k8s"


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
    process = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "commands"], capture_output=True, text=True, check=True
    )
    commands = process.stdout.splitlines()
    assert commands == ["pip install . && meshproof test", "pip install tox && tox"]
    assert all(f"\n    {command} " in README for command in commands)


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_the_korean_one_shows_the_same() -> None:
    """Korean readers see the same commands and output; only the comments are translated."""
    english, korean = (
        re.findall(r"^ {4}(.*?)(?: +#.*)?$", text, re.M) for text in (README, KOREAN)
    )
    assert len(korean) > 20
    assert [line for line in korean if line not in english] == []
    commands = [line for line in english if re.match(r"(\$ )?(pip|meshproof) [a-z]", line)]
    assert len(commands) == 6
    assert [line for line in korean if line in commands] == commands
    assert not re.search("[가-힣]", README.replace("[한국어]", ""))


def test_the_commands_are_there() -> None:
    usage = python("meshproof", "--help")
    commands = set(re.findall(r"`meshproof (\w+)", README))
    assert commands
    assert all(re.search(rf"^    {command} ", usage, re.M) for command in commands)


def test_the_judge_example_passes(examples: pytest.Pytester) -> None:
    (examples.path / "conftest.py").unlink()
    result = examples.runpytest_subprocess("test_labels.py")
    result.assert_outcomes(passed=1)


@pytest.mark.local
def test_the_example_of_an_own_test_passes(examples: pytest.Pytester) -> None:
    shutil.copytree(SHOP, examples.path / "k8s")
    result = examples.runpytest_subprocess("test_shop.py")
    result.assert_outcomes(passed=1)


def test_the_example_for_ci_is_yaml_with_our_commands() -> None:
    contents = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    steps = [step for content in contents for step in content.get("steps", ())]
    assert any(step.get("run", "").startswith("meshproof test ") for step in steps)


def test_the_architecture_is_short() -> None:
    section = README.partition("\n## How it is made\n")[2].partition("\n## ")[0]
    assert 10 <= len(section.splitlines()) <= 35


def test_every_room_is_in_the_architecture() -> None:
    section = README.partition("\n## How it is made\n")[2].partition("\n## ")[0]
    source = ROOT / "src" / "meshproof"
    rooms = {path.parent.name for path in source.glob("*/__init__.py")}
    folders = set(re.findall(r"(?<![\w./])(\w+)/(?![\w.])", section))
    assert rooms - {"base"} <= folders
    assert all(list(ROOT.glob(f"**/{name}/")) for name in folders)


def test_no_path_of_somebodys_machine_is_named() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users)/", text)


def test_every_recipe_of_contributing_is_short() -> None:
    for recipe in (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")[1:]:
        assert len(recipe.strip().splitlines()) <= 13, recipe


def test_every_path_of_contributing_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = set(re.findall(r"`([\w.]+/[\w./*]*\w(?:\.\w+)?)(?::\w+)?`", text))
    assert len(paths) > 15
    for path in paths - {"k8s/shop.yaml"}:
        pattern = re.sub(r"/[^/]*(NAME|NNNN).*", "", path)
        assert [*ROOT.glob(pattern), *(ROOT / "src" / "meshproof").glob(pattern)], path
