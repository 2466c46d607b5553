"""`meshproof completion`: what a shell proposes is what the commands take."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meshproof import cli
from meshproof.cli import main
from meshproof.options.table import RUN_OPTIONS

#: Asks bash for the words that it proposes in place of the last of $@.
ASK = """
source "$0"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_shtab_meshproof 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "meshproof.bash"
    with path.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", file)
        assert main(["completion", "bash"]) == 0
    return path


def complete(script: Path, line: str, folder: Path) -> set[str]:
    done = subprocess.run(
        ["bash", "-c", ASK, str(script), *line.split(" ")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return {word.strip() for word in done.stdout.split("\n")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("meshproof sm", {"smoke"}),
        ("meshproof test --tol", {"--tolerance"}),
        ("meshproof test --mesh-tol", {"--mesh-tolerance"}),
        ("meshproof mesh ", {"up", "status", "down"}),
        ("meshproof test --mtls s", {"strict"}),
        ("meshproof judge --look", {"--look-every"}),
        ("meshproof completion f", {"fish"}),
        ("meshproof test --rules sh", {"shop.yaml"}),
    ],
)
def test_bash_proposes_what_fits(
    bash_script: Path, tmp_path: Path, line: str, words: set[str]
) -> None:
    (tmp_path / "shop.yaml").touch()
    assert words <= complete(bash_script, line, tmp_path)


def test_bash_proposes_nothing_that_does_not_fit(bash_script: Path, tmp_path: Path) -> None:
    assert "--tolerance" not in complete(bash_script, "meshproof lint --", tmp_path)
    assert complete(bash_script, "meshproof xyz", tmp_path) == {""}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_in_the_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in cli._COMMANDS:
        assert command in script
    for option in RUN_OPTIONS:
        assert option.mesh_flag.lstrip("-") in script


def test_another_shell_is_answered_with_the_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["completion", "bsh"])
    assert exit_info.value.code == 64
    assert "did you mean 'bash'?" in capsys.readouterr().err
