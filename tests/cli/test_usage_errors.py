"""Usage errors of the command, `--help`, and a standard output that takes nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshproof.cli import main

COMMAND = (sys.executable, "-m", "meshproof")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tset", "unknown command 'tset'; did you mean 'test'?"),
        ("xyz", "unknown command 'xyz'"),
        ("covnert x", "unknown command 'covnert'; did you mean 'convert'?"),
        ("convert", "convert: PATH is missing"),
        ("convert --outptu x", "unknown argument --outptu; did you mean '--output'?"),
        ("--versoin", "unknown argument --versoin; did you mean '--version'?"),
        ("mesh", "the following arguments are required: ACTION"),
        (
            "mesh dwon",
            "invalid choice: 'dwon' (choose from up, status, down); did you mean 'down'?",
        ),
        (
            "plan --rules k8s",
            "takes the rules without an option: meshproof plan PATH",
        ),
        (
            "lint --rules=k8s",
            "takes the rules without an option: meshproof lint PATH",
        ),
        ("mesh up --prot 80", "unknown argument --prot; did you mean '--port'?"),
        ("mesh up --por 80", "unknown argument --por; did you mean '--port'?"),
        ("mesh up --port http", "--port http: expected a whole number from 0 to 65535"),
        ("mesh up --port 99999", "--port 99999: expected a whole number from 0 to 65535"),
        ("mesh up --mtls strct", "did you mean 'strict'?"),
        ("mesh status -o yaml", "invalid choice: 'yaml'"),
        (
            "test --mesh locl",
            "--mesh locl: not one of cluster, istiod, local; did you mean 'local'?",
        ),
        (
            "test --mesh istiod",
            "--mesh istiod needs an istiod: --mesh-istiod takes a version such as 1.29.2",
        ),
        ("test --istiod pilot", "--mesh-istiod: it needs --mesh istiod"),
        (
            "test --mesh istiod --istiod pilot --mtls strict",
            "--mesh-mtls strict: the istiod mesh has no mTLS yet",
        ),
        ("test --mesh-prot 80", "--mesh-prot; did you mean '--mesh-port'?"),
        ("test --mesh-mtsl strict", "--mesh-mtsl; did you mean '--mesh-mtls'?"),
        ("test --reprot x", "--reprot; did you mean '--report'?"),
        ("test --mesh-format htlm", "did you mean 'html'?"),
        ("test -k nothing_has_this_name", "no promise was selected: nothing was checked"),
        ("test no_such_file.py", "file or directory not found: no_such_file.py"),
    ],
)
def test_a_wrong_word_is_64_and_answered_with_the_nearest(
    pytester: pytest.Pytester, arguments: str, message: str
) -> None:
    result = pytester.run(*COMMAND, *arguments.split())
    text = "\n".join(result.errlines).replace("'up', 'status', 'down'", "up, status, down")
    assert message in text
    assert "Traceback" not in text
    assert result.ret == 64


def test_alone_it_says_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    output = capsys.readouterr().out
    assert "check every promise; reports go to ./meshproof-report/" in output
    assert "exit codes: 0 passed, 1 failed, 2 interrupted, 3 inconclusive" in output


@pytest.mark.parametrize(
    "arguments", ["--help", "mesh --help", "test --help", "convert --help", "--version"]
)
def test_what_was_asked_for_is_no_error(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments.split())
    assert exit_info.value.code == 0
    assert "meshproof" in capsys.readouterr().out


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "redirection", "code"),
    [
        ("mesh status", "| head -0", 69),
        ("mesh status", ">&-", 69),
        ("mesh down", "| head -0", 0),
        ("--help", "| head -0", 0),
        ("mesh down", "> /dev/full", 69),
    ],
)
def test_an_output_that_takes_nothing(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    redirection: str,
    code: int,
    unbuffered: str,
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    monkeypatch.setenv("TMPDIR", str(pytester.path))
    line = f"set -o pipefail; {' '.join(COMMAND)} {arguments} {redirection}"
    process = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "Exception" not in process.stderr
    assert "Traceback" not in process.stderr
    assert process.returncode == code, process.stderr
