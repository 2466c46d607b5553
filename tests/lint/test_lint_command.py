"""The command as it is typed: exit codes, options, streams."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshproof.cli import main
from meshproof.lint import load_checks

CLEAN = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews}
"""
INFO = CLEAN.replace("{host: reviews}", "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE}}}")
WARNING = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {cookie: {exact: user=burr}}}]
    route: [{destination: {host: b}}]
  - route: [{destination: {host: reviews}}]
"""
ERROR = CLEAN.replace("host: reviews", "hots: reviews")
BROKEN = "kind: [\n"


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


def meshproof(*arguments: str, stdin: str = "") -> Outcome:
    """Run `meshproof lint` in this process: starting Python takes ten times as long."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = main(["lint", *arguments])
        except SystemExit as end:  # argparse ends so
            code = int(end.code or 0)
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def run_process(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Outcome:
    """Run `meshproof lint` as it is typed, in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "meshproof", "lint", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Outcome(process.returncode, process.stdout, process.stderr)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("-", "-o", "sarif"), CLEAN, 0),
        (("-", "--fail-on", "warning"), WARNING, 79),
        (("-", "-o", "json"), f"{ERROR}---\n{BROKEN}", 79),
        (("-", "--supress", "MP0304"), WARNING, 64),
        (("--help",), "", 0),
    ],
    ids=["clean", "warning", "broken", "usage", "help"],
)
def test_a_process_ends_as_main_does(arguments: tuple[str, ...], stdin: str, code: int) -> None:
    """So the other tests may call main()."""
    outcome = run_process(*arguments, stdin=stdin, env={"COLUMNS": "80"})
    assert outcome.returncode == code
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        assert meshproof(*arguments, stdin=stdin) == outcome


@pytest.mark.parametrize("output", ["text", "json", "sarif"])
@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (CLEAN, "warning", 0),
        (INFO, "warning", 0),
        (INFO, "info", 79),
        (WARNING, "warning", 79),
        (WARNING, "error", 0),
        (ERROR, "error", 79),
        (f"{CLEAN}---\n{BROKEN}", "error", 79),
        (f"{ERROR}---\n{BROKEN}", "info", 79),
        ("", "error", 65),
    ],
    ids=[
        "clean",
        "info",
        "info-fails",
        "warning",
        "warning-passes",
        "error",
        "broken",
        "both",
        "empty",
    ],
)
def test_exit_code_does_not_depend_on_the_output(
    text: str, fail_on: str, code: int, output: str
) -> None:
    outcome = meshproof("-", "--fail-on", fail_on, "-o", output, stdin=text)
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stderr == ""
    if output != "text":
        json.loads(outcome.stdout)


def test_files_folders_and_standard_input_are_linted_together(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.yaml").write_text(WARNING)
    (tmp_path / "b.yaml").write_text(CLEAN)
    outcome = meshproof(str(tmp_path / "rules"), str(tmp_path / "b.yaml"), "-", stdin=INFO)
    assert outcome.returncode == 79
    assert "Checked: 3 objects in 3 files." in outcome.stdout
    assert "<stdin>:3:" in outcome.stdout
    assert "MP0209" in outcome.stdout  # one name in b.yaml and on standard input: seen together


def test_a_path_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    outcome = meshproof(str(tmp_path / "gone.yaml"))
    assert outcome.returncode == 65
    assert "cannot be read: No such file or directory" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "PATH is missing"),
        (("-", "--suppress", "MP304"), "did you mean 'MP0304'?"),
        (("-", "--suppress", "MP0100"), "cannot be suppressed"),
        (("--explain", "MP9999"), "there is no such code"),
        (("-", "-o", "yaml"), "invalid choice"),
        (("-", "--fail-on", "warn"), "did you mean 'warning'?"),
        (("-", "--supress", "MP0304"), "did you mean '--suppress'?"),
    ],
)
def test_what_cannot_be_used_ends_with_64(arguments: tuple[str, ...], message: str) -> None:
    outcome = meshproof(*arguments)
    assert outcome.returncode == 64
    assert message in outcome.stderr
    assert outcome.stdout == ""


def test_codes_are_suppressed() -> None:
    for options in (["--suppress", "MP0403"], ["--suppress", "mp0304,mp0403"]):
        outcome = meshproof("-", *options, stdin=WARNING)
        assert outcome.returncode == 0
        assert outcome.stdout == "Nothing found in 1 object in 1 file.\n"


def test_comments_are_obeyed_and_idle_ones_named() -> None:
    text = WARNING.replace("  - match:", "  # meshproof: ignore[MP0403]\n  - match:")
    assert meshproof("-", stdin=text).returncode == 0
    outcome = meshproof("-", "-o", "json", stdin=text.replace("MP0403", "MP0301"))
    assert [finding["code"] for finding in json.loads(outcome.stdout)] == ["MP0001", "MP0403"]


def test_parts_of_folders_are_excluded(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/a.yaml").write_text("kind: VirtualService\n{{ a }}: [")
    (tmp_path / "b.yaml").write_text(CLEAN)
    outcome = meshproof(str(tmp_path))
    assert outcome.returncode == 79
    assert "MP0214: a template of VirtualService" in outcome.stdout
    assert meshproof(str(tmp_path), "--exclude", "templates").returncode == 0


def test_every_code_is_listed_and_explained() -> None:
    outcome = meshproof("--list")
    assert outcome.returncode == 0
    codes = [line.split()[0] for line in outcome.stdout.splitlines()]
    assert codes == ["MP0001", *(check.code for check in load_checks())]
    entries = json.loads(meshproof("--list", "-o", "json").stdout)
    assert [entry["code"] for entry in entries] == codes
    explained = meshproof("--explain", "mp0301")
    assert explained.returncode == 0
    assert explained.stdout.startswith("MP0301 (warning): Route that is shadowed\n")
    assert "\nWhy: " in explained.stdout
    assert "\nBad:\n\napiVersion: networking.istio.io/v1\n" in explained.stdout
    assert "\nGood:\n\n" in explained.stdout


def test_help_names_the_exit_codes() -> None:
    outcome = meshproof("--help")
    assert outcome.returncode == 0
    for word in (
        "79 lint findings",
        "with 65",
        "64 usage",
        "--suppress",
        "--fail-on",
        "--explain",
        "--list",
    ):
        assert word in " ".join(outcome.stdout.split())


def test_a_stream_that_is_not_utf_8_gets_numbers() -> None:
    text = WARNING.replace("user=burr", "user=bürr").replace("name: reviews", "name: rüviews")
    outcome = run_process(
        "-", stdin=text, env={"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    )
    assert outcome.returncode in (65, 79)
    assert "Traceback" not in outcome.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"{index}.yaml").write_text(ERROR)
    command = [sys.executable, "-m", "meshproof", "lint", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_heavy_packages_are_not_loaded() -> None:
    """What makes the start slow is not there after a lint of one file without a regex."""
    script = (
        "import sys, io; sys.stdin = io.TextIOWrapper(io.BytesIO(sys.argv[1].encode()));"
        "from meshproof.cli import main; main(['lint', '-']);"
        "heavy = ('rich', 're2', 'scipy', 'numpy', 'statsmodels', 'kubernetes', 'requests',"
        " 'pytest', 'jinja2', 'psutil', 'cryptography');"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script, CLEAN], capture_output=True, text=True, check=False
    )
    assert outcome.stderr == ""
    assert outcome.returncode == 0
