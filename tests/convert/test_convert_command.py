"""`meshproof convert`: what goes where, and its exit codes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshproof import manifests
from meshproof.cli import main
from meshproof.convert import proof
from meshproof.documents.manifest import parse
from meshproof.lint import Level, lint
from tests import TESTS
from tests.manifest_text import write_head

SEED = TESTS / "rules" / "seed"
PROMISES = ("cookie_burr", "split_half", "v3_only")
ROUTE = "route: [{labels: {version: v1}}]"
Ended = tuple[int, str, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run `meshproof convert` in an empty folder; return exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def do(*arguments: str) -> Ended:
        code = main(["convert", *arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return do


def test_rules_are_printed_and_the_rest_is_said(run: Any, rule: Any) -> None:
    Path("old.yaml").write_text(rule(ROUTE, "websocketUpgrade: true"))
    code, out, err = run("old.yaml")
    assert code == 0
    assert out.startswith("apiVersion: networking.istio.io/v1\nkind: DestinationRule\n")
    assert out.endswith("subset: v1\n")
    assert err.startswith("old.yaml:7:21: note: spec.websocketUpgrade is not needed any more")


def test_what_is_not_converted_ends_with_79_and_the_rest_is_written(run: Any, rule: Any) -> None:
    Path("old.yaml").write_text(rule(ROUTE, "l4Fault: {terminate: {percent: 1}}"))
    code, out, err = run("old.yaml", "-o", "new.yaml")
    assert (code, out) == (79, "")
    assert "old.yaml:7:3: error: spec.l4Fault is not converted" in err
    assert "# old.yaml:7: spec.l4Fault is not converted" in Path("new.yaml").read_text()
    assert sorted(os.listdir()) == ["new.yaml", "old.yaml"]


def test_what_of_a_folder_takes_no_part_is_said(run: Any, rule: Any) -> None:
    for name, text in {
        "old.yaml": rule(ROUTE),
        "job.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n",
        "values.yaml": "replicas: 2\n",
        "rule.yaml": "kind: RouteRule\nmetadata: {name: {{ .Values.name }}}\n",
    }.items():
        Path(name).write_text(text)
    code, _, err = run(".")
    assert code == 0
    assert (
        "left out: 1 object that routes nothing (Job), 1 file of a Helm chart (values.yaml)" in err
    )
    assert "./rule.yaml:1: template ./rule.yaml:1 is not converted: it makes RouteRule" in err


def test_a_file_is_written_as_a_whole(run: Any, rule: Any) -> None:
    Path("old.yaml").write_text(rule(ROUTE))
    Path("new.yaml").write_text("what stood here " * 1000)
    code, out, _ = run("old.yaml", "-o", "new.yaml")
    assert (code, out) == (0, "")
    assert Path("new.yaml").read_text() == run("old.yaml")[1]


def test_standard_input(run: Any, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(rule(ROUTE, "percendence: 1").encode()))
    monkeypatch.setattr(sys, "stdin", given)
    code, out, err = run("-")
    assert (code, out) == (65, "")
    assert "<stdin>:7:3: error MP0101: spec: unknown key 'percendence'" in err


BAD = {
    "not there": (None, "cannot be read: No such file"),
    "no YAML": ("a: [b\n", "MP0100"),
    "empty": ("# nothing\n", "MP0100"),
    "no legacy rule": (write_head("Pod", "a"), "nothing to convert"),
    "a rule of Mixer": (
        "apiVersion: config.istio.io/v1alpha2\nkind: rule\nmetadata: {name: a}\nspec: {}\n",
        "old.yaml:2:7: a rule of config.istio.io is not converted",
    ),
    "an unknown kind": (
        "apiVersion: config.istio.io/v1alpha2\nkind: RouteRul\nmetadata: {name: a}\nspec: {}\n",
        "old.yaml:2:7",
    ),
    "tabs": ("a:\n\t- b\n", "old.yaml:2:1"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_bad_input_ends_with_65_and_writes_nothing(run: Any, text: str | None, said: str) -> None:
    if text is not None:
        Path("old.yaml").write_text(text)
    code, out, err = run("old.yaml", "-o", "new.yaml")
    assert (code, out) == (65, "")
    assert said in err
    assert "old.yaml" in err
    assert "Traceback" not in err
    assert not Path("new.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "convert: PATH is missing"),
        (["old.yaml", "-o", "old.yaml"], "this file is read itself; name another"),
        (["old.yaml", "-o", "folder"], "this is a folder; name a file in it"),
        (["old.yaml", "-o", "nowhere/new.yaml"], "cannot be written: No such file"),
    ],
)
def test_wrong_use_ends_with_64(run: Any, rule: Any, arguments: list[str], said: str) -> None:
    Path("old.yaml").write_text(rule(ROUTE))
    Path("folder").mkdir()
    code, out, err = run(*arguments)
    assert (code, out) == (64, "")
    assert said in err
    assert Path("old.yaml").read_text() == rule(ROUTE)


def test_a_wrong_option_is_answered_with_the_nearest(
    run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--proof", "old.yaml")
    assert ended.value.code == 64
    assert "unknown argument --proof; did you mean '--prove'?" in capfd.readouterr().err


def test_a_conversion_that_says_something_else_is_not_written(
    run: Any, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "find_differences", lambda *_: iter(["old.yaml:1: 'r': it differs"]))
    Path("old.yaml").write_text(rule(ROUTE))
    code, out, err = run("old.yaml", "-o", "new.yaml")
    assert (code, out) == (1, "")
    assert "old.yaml:1: 'r': it differs\nmeshproof: nothing is written" in err
    assert not Path("new.yaml").exists()


def test_the_users_own_files_are_refused_by_their_lines(run: Any) -> None:
    code, out, err = run(str(SEED))
    assert (code, out) == (65, "")
    for line in (
        "route-rule-reviews-burr-v3.yaml:1:1: error MP0102",
        "route-rule-reviews-burr-v3.yaml:9:5: error MP0205",
        "route-rule-reviews-burr-v3.yaml:12:3: error MP0101",
        "route-rule-reviews-v3.yaml:4:9: error MP0209",
        "route-rule-sock-shop-orders.yaml:1:1: error MP0107",
    ):
        assert f"{SEED}/{line}" in err
    assert err.count(": error MP") == 5


@pytest.mark.parametrize("promise", PROMISES)
def test_repaired_they_become_rules_that_lint_takes(run: Any, promise: str) -> None:
    (file,) = {str(one.at.file) for one in manifests.rules(promise, "v1alpha2")}
    code, out, err = run(file)
    assert code == 0
    assert "the same in the routing model: " in err
    found = lint(parse(out, "new.yaml"))
    assert not [one for one in found if one.level is Level.ERROR]


def test_help_says_what_is_printed_and_what_is_left_out(
    run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    said = " ".join(capfd.readouterr().out.split())
    assert "Only these are printed: other objects at PATH are read" in said
    assert "79 where all but what standard error names is converted" in said


def test_it_starts_light() -> None:
    """No package of a mesh is loaded for a conversion."""
    code = (
        "import sys; sys.argv = ['meshproof', 'convert', '-']; import meshproof.cli as cli\n"
        "print(cli.main(sys.argv[1:]), sorted({'pytest', 'kubernetes', 'statsmodels', 'requests', "
        "'cryptography'} & set(sys.modules)))"
    )
    text = write_head("RouteRule", "r")
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=f"{text}spec: {{destination: {{name: a}}, {ROUTE}}}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_pipe_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        "apiVersion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata: {name: r}\n"
        "spec: {destination: {name: shop}, route: [{labels: {version: v1}}]}\n"
    )
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDWR)  # opened so, neither side waits for the other
    assert main(["convert", str(tmp_path / "old.yaml"), "-o", str(tmp_path / "pipe")]) == 0
    assert (tmp_path / "pipe").is_fifo()
    assert b"kind: VirtualService" in os.read(handle, 10_000)
    os.close(handle)


def test_a_match_without_any_condition_is_converted_as_no_match(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(
        f"{write_head('RouteRule', 'r')}spec:\n"
        "  destination: {name: shop}\n  match: {request: {headers: {}}}\n"
        "  redirect: {uri: /n}\n"
    )
    assert main(["convert", str(old)]) == 0
    captured = capsys.readouterr()
    assert "match:" not in captured.out
    assert "1 route of shop.default" in captured.err
