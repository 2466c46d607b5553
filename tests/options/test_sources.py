"""Where a value comes from: command line before variable before file, each held to its range."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from meshproof.base.errors import UsageError
from meshproof.options.sources import read_run_options
from meshproof.options.table import OPTIONS, RunOptions
from tests import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, in an environment without variables of ours."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for variable in ("KUBECONFIG", *(name for option in OPTIONS for name in option.variables)):
        monkeypatch.delenv(variable, raising=False)
    return folder


def read(command: str = "test", **given: object) -> RunOptions:
    return read_run_options(command, argparse.Namespace(**given))


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def test_command_line_before_variable_before_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (read().workers, read().label("workers")) == (4, "--mesh-workers")
    write(project / "meshproof.toml", "", "workers = 5")
    assert (read().workers, read().label("workers")) == (5, "meshproof.toml:2: workers")
    monkeypatch.setenv("MESHPROOF_WORKERS", "6")
    assert (read().workers, read().label("workers")) == (6, "MESHPROOF_WORKERS")
    options = read(mesh_workers="7")
    assert (options.workers, options.label("workers")) == (7, "--mesh-workers")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers = 65", "65: expected a whole number from 1 to 64"),
        ("workers = '8'", "'8': expected a whole number from 1 to 64"),
        ("workers = true", "True: expected a whole number"),
        ("tolerance = nan", "nan: expected a number from 0.001 to 0.999"),
        ("tolerance = inf", "inf: expected a number"),
        ("beta = 1e-300", "1e-300: expected a number from 1e-12 to 0.5"),
        ("smoke = 'yes'", "'yes': expected true or false"),
        (
            "mesh = 'clutser'",
            "'clutser': not one of cluster, istiod, local; did you mean 'cluster'?",
        ),
        ("mesh = 5", "5: expected text in quotes"),
        ("rules = ['a', 5]", "['a', 5]: expected text in quotes"),
        ("ingress = 'x'", "'x': expected NAMESPACE/NAME of a Service"),
    ],
)
def test_a_wrong_value_of_a_file_is_named_with_its_line(
    project: Path, line: str, message: str
) -> None:
    write(project / "pyproject.toml", "[tool.ruff]", "x = 1", "[tool.meshproof]", "# ours", line)
    name = line.partition(" ")[0]
    with pytest.raises(UsageError) as raised:
        read()
    assert str(raised.value).startswith(f"pyproject.toml:5: {name} {message}")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("MESHPROOF_PORT", "http", "expected a whole number from 0 to 65535"),
        ("MESHPROOF_ALPHA", "1e400", "expected a number from 1e-12 to 0.5"),
        ("MESHPROOF_SMOKE", "maybe", "expected true or false"),
        ("MESHPROOF_PROVIDER", "knid", "did you mean 'kind'?"),
        ("MESHPROOF_IMAGE_MAP", "a=b c", "expected IMAGE=IMAGE"),
        ("MESHPROOF_RULES", "'a", "No closing quotation"),
    ],
)
def test_a_wrong_value_of_a_variable_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(UsageError) as raised:
        read()
    assert str(raised.value).startswith(f"{variable} ")
    assert message in str(raised.value)


def test_a_variable_has_several_values_as_a_shell_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHPROOF_RULES", "istio/ 'more rules/'")
    assert read().rules == ("istio/", "more rules/")


def test_a_variable_turns_off_what_the_file_turns_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "meshproof.toml", "fresh-connections = true")
    assert read().fresh_connections
    monkeypatch.setenv("MESHPROOF_FRESH_CONNECTIONS", "0")
    assert not read().fresh_connections
    monkeypatch.setenv("MESHPROOF_FRESH_CONNECTIONS", "")
    assert read().fresh_connections, "an empty variable is as none"


def test_variables_of_others_stay(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "meshproof.toml", "gateway-url = 'file'", "kubeconfig = 'file'")
    assert (read().gateway_url, read().kubeconfig) == ("file", "file")
    monkeypatch.setenv("GATEWAY_URL", "theirs")
    monkeypatch.setenv("KUBECONFIG", "theirs")
    assert (read().gateway_url, read().kubeconfig) == ("theirs", None), "kubectl's own is read late"
    monkeypatch.setenv("MESHPROOF_GATEWAY_URL", "ours")
    monkeypatch.setenv("MESHPROOF_KUBECONFIG", "ours")
    assert (read().gateway_url, read().kubeconfig) == ("ours", "ours")


def test_a_command_takes_what_is_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "meshproof.toml", "tolerance = 7", "most-workloads = 3", "context = 'staging'")
    monkeypatch.setenv("MESHPROOF_BUDGET", "none")
    assert read("smoke").context == "staging"
    assert read("smoke").tolerance is None
    assert read("convert") == RunOptions()


def test_pytest_writes_reports_only_where_its_command_line_says_so(project: Path) -> None:
    write(project / "meshproof.toml", "report = 'out'")
    assert read("test").report == "out"
    assert read("pytest").report is None
    assert read("pytest", mesh_report="here").report == "here"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["tolerence = 0.2"], "tolerence: meshproof has no such option; did you mean 'tolerance'?"),
        (["fresh_connections = true"], "did you mean 'fresh-connections'?"),
        (["xyz = 1"], "xyz: meshproof has no such option"),
        (["plan = true"], "plan: this option is for the command line alone"),
        (["mesh-tolerance = 0.2"], "did you mean"),
    ],
)
@pytest.mark.parametrize("name", ["pyproject.toml", "meshproof.toml"])
def test_an_unknown_key_is_named_with_file_line_and_nearest_word(
    project: Path, name: str, lines: list[str], message: str
) -> None:
    head = ["[tool.meshproof]"] if name == "pyproject.toml" else ["# ours"]
    write(project / name, *head, "workers = 3", *lines)
    with pytest.raises(UsageError) as raised:
        read()
    assert str(raised.value).startswith(f"{name}:3: {lines[0].partition(' ')[0]}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tool]\nmeshproof = {workers = 99}\n", 2),
        ("tool.meshproof.workers = 99\n", 1),
        ("[tool.other]\nworkers = 1\n\n[tool.meshproof]\n\nworkers = 99\n", 6),
        (
            '[tool.x]\ny = """\n[tool.meshproof]\nworkers = 1\n"""\n[tool.meshproof]\nworkers = 99',
            7,
        ),
        ("[tool.meshproof]\nrules = [\n'a',\n'workers',\n]\nworkers = 99\n", 6),
        ('[tool.meshproof]\n"workers" = 99\n', 2),
    ],
)
def test_a_line_is_right_however_the_file_is_written(project: Path, text: str, line: int) -> None:
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=f"^pyproject.toml:{line}: workers 99: expected"):
        read()


def test_a_list_of_several_lines_is_named_by_its_first(project: Path) -> None:
    write(project / "meshproof.toml", "workers = 3", "image-map = [", "  'a=b',", "  'c',", "]")
    with pytest.raises(UsageError, match=r"^meshproof.toml:2: image-map \['a=b', 'c'\]: expected"):
        read()


def test_what_is_no_toml_is_named_with_its_line(project: Path) -> None:
    write(project / "meshproof.toml", "workers = 3", "workers = 4")
    with pytest.raises(UsageError, match=r"^meshproof.toml:2: no TOML: Cannot overwrite"):
        read()


def test_a_pyproject_of_others_is_left_alone(project: Path) -> None:
    write(project / "pyproject.toml", "[tool.other", "this is no TOML")
    assert read() == RunOptions()
    write(project / "pyproject.toml", "[project]", "dependencies = ['meshproof']")
    assert read() == RunOptions()


def test_two_files_in_one_folder_are_refused(project: Path) -> None:
    write(project / "meshproof.toml", "workers = 3")
    write(project / "pyproject.toml", "[tool.meshproof]", "workers = 4")
    with pytest.raises(UsageError, match=r"^pyproject.toml: \[tool.meshproof\] beside meshproof"):
        read()


def test_the_nearest_file_counts_inside_a_repository(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = project / "tests" / "mesh"
    write(project / "meshproof.toml", "workers = 3", "rules = ['istio/', 'cluster:shop']")
    write(inner / "pyproject.toml", "[project]", "name = 'x'")
    monkeypatch.chdir(inner)
    assert read().workers == 4, "outside of a repository a file above may be somebody else's"
    (project / ".git").mkdir()
    assert read().workers == 3
    assert read().rules == ("../../istio", "cluster:shop"), "paths are relative to the file"
    assert read().label("workers") == "../../meshproof.toml:1: workers"
    write(inner / "pyproject.toml", "[tool.meshproof]", "workers = 9")
    assert read().workers == 9
    assert read().rules == (), "files are not mixed"


def test_no_file_above_the_repository_is_read(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "meshproof.toml", "workers = 3")
    (project / ".git").mkdir()
    assert read().workers == 4


def test_the_file_of_the_docs_is_one(project: Path) -> None:
    page = (ROOT / "docs" / "reference" / "options.md").read_text()
    block = page.partition("```toml\n")[2].partition("```")[0]
    (project / "pyproject.toml").write_text(block)
    options = read()
    assert (options.rules, options.profile) == (("istio",), "nightly")
    assert options.require_addon == ("prometheus",)
