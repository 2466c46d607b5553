"""What `meshproof test -o FORMAT` prints, and results.sarif: for the programs of CI servers."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.place import Place
from meshproof.cli import main
from meshproof.reports import sarif
from meshproof.reports._problems import Level, list_problems
from meshproof.run.cause import Cause
from meshproof.run.failure import Failure
from meshproof.run.record import Outcome, Result, Run, writers
from meshproof.run.remark import Remark
from tests import ROOT
from tests.command import run_command

RUN_SCHEMA = json.loads((ROOT / "docs/reference/run.schema.json").read_text())
SARIF_SCHEMA = json.loads((ROOT / "tests/lint/sarif-2.1.0-rtm.5.json").read_text())
SHOP = "k8s/shop.yaml"
SUBSET = Cause("subset canary selects no pod", Place(SHOP, 12), repairs=("version: v2",))
WARNING = Remark(Place(SHOP, 40), "4 tries do not fit into 1s", "MP0601")
RUNS = ("mixed_run", "green_run", "empty_run", "hostile_run", "broken_run")


@pytest.fixture
def broken_run(green_run: Run) -> Run:
    """Two cases of one cause, one of none, a warning beside both routes, an unreached route."""
    failure = Failure("503", root_cause=SUBSET)
    run = Run.from_json(green_run.to_json())
    run.results += [
        Result("shop: /a", "", Outcome.FAILED, failure=failure, rule=Place(SHOP, 10), route="a"),
        Result("shop: /b", "", Outcome.FAILED, failure=failure, rule=Place(SHOP, 14), route="b"),
        Result(
            "shop: /c",
            "",
            Outcome.INCONCLUSIVE,
            failure=Failure("too few"),
            rule=Place(SHOP, 40),
            route="c",
            warnings=(WARNING,),
        ),
        Result("shop: /d", "", Outcome.PASSED, rule=Place(SHOP, 44), warnings=(WARNING,)),
    ]
    run.unreached.append(Remark(Place(SHOP, 50), "route 4 of shop is unreached: no port"))
    return run


def print_run(run: Run, output: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a run prints with `-o output`."""
    (writer,) = writers(["console"], folder, output)
    whole, results = run, list(run.results)
    run.results.clear()
    writer.started(whole)
    writer.progress("waiting\n::error::for rules")
    for result in results:
        writer.finished(result)
        run.results.append(result)
    writer.ended(whole)
    return capsys.readouterr().out


def validate(value: Any, schema: Any) -> list[str]:
    """Return what is wrong with a value."""
    jsonschema = importlib.import_module("jsonschema")
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def copy(name: str, request: pytest.FixtureRequest) -> Run:
    run: Run = request.getfixturevalue(name)
    return Run.from_json(run.to_json())


@pytest.mark.parametrize("name", RUNS)
def test_json_is_the_record_with_its_outcome(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = copy(name, request)
    text = print_run(run, "json", tmp_path, capsys)
    record = json.loads(text)
    assert (record["outcome"], record["exit_code"]) == (run.outcome, run.exit_code)
    assert Run.from_json(text) == run
    assert validate(record, RUN_SCHEMA) == []
    assert "##vso[" not in text


def test_the_schema_refuses_what_is_no_record(green_run: Run) -> None:
    record = json.loads(green_run.to_json())
    wrong = [
        {**record, "outcome": "green"},
        {**record, "unknown": 1},
        {name: value for name, value in record.items() if name != "results"},
        {**record, "results": [{**record["results"][0], "checks": 3}]},
    ]
    assert all(validate(value, RUN_SCHEMA) for value in wrong)


@pytest.mark.parametrize("name", RUNS)
def test_jsonl_has_an_event_in_each_line(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = copy(name, request)
    events = [json.loads(line) for line in print_run(run, "jsonl", tmp_path, capsys).splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["started", "progress", *["result"] * len(run.results), "ended"]
    results = [event for event in events if event["event"] == "result"]
    schema = {**RUN_SCHEMA["$defs"]["Result"], "$defs": RUN_SCHEMA["$defs"]}
    for event, result in zip(results, run.results, strict=True):
        assert event.pop("event") == "result"
        assert event["outcome"] == result.outcome
        assert validate(event, schema) == []
    assert (events[-1]["outcome"], events[-1]["exit_code"]) == (run.outcome, run.exit_code)


def test_each_problem_is_listed_once_with_its_place(broken_run: Run) -> None:
    problems = list_problems(broken_run)
    assert [(problem.level, problem.name, problem.file, problem.line) for problem in problems] == [
        ("error", "failed", "k8s/shop.yaml", 12),
        ("error", "inconclusive", "k8s/shop.yaml", 40),
        ("error", "unreached", "k8s/shop.yaml", 50),
        ("warning", "MP0601", "k8s/shop.yaml", 40),
    ]
    assert "breaks: a 1 of 1 cases, b 1 of 1" in problems[0].text
    assert "repair: version: v2" in problems[0].text
    assert len({problem.fingerprint for problem in problems}) == 4


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_errors_exactly_where_it_is_not_green(
    name: str, request: pytest.FixtureRequest
) -> None:
    run = copy(name, request)
    has_errors = any(problem.level is Level.ERROR for problem in list_problems(run))
    assert has_errors == (run.exit_code != 0)


def test_a_file_below_the_current_folder_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.from_json(empty_run.to_json())
    run.unreached += [
        Remark(Place(f"{tmp_path}/k8s/a.yaml", 3), "x"),
        Remark(Place("/elsewhere/b.yaml", 4), "y"),
    ]
    files = [problem.file for problem in list_problems(run)]
    assert files == ["k8s/a.yaml", "/elsewhere/b.yaml"]


def test_a_problem_that_moves_keeps_its_fingerprint(broken_run: Run) -> None:
    moved = Run.from_json(broken_run.to_json().replace("shop.yaml:50", "shop.yaml:51"))
    before, after = ([p.fingerprint for p in list_problems(run)] for run in (broken_run, moved))
    assert before == after


def test_github_gets_an_annotation_at_each_place(
    broken_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    output = print_run(broken_run, "github", tmp_path, capsys)
    annotations = [line for line in output.splitlines() if line.startswith("::")]
    assert [line.partition(",title")[0] for line in annotations] == [
        "::error file=k8s/shop.yaml,line=12",
        "::error file=k8s/shop.yaml,line=40",
        "::error file=k8s/shop.yaml,line=50",
        "::warning file=k8s/shop.yaml,line=40",
    ]
    assert "::subset canary selects no pod%0Abreaks: a 1 of 1 cases" in annotations[0]
    assert output.splitlines()[-1].startswith("Failed: 2 of 6 promises are broken")
    text = summary.read_text()
    assert text.startswith("before\n### meshproof: Failed: 2 of 6 promises are broken")
    assert "| error | k8s/shop.yaml:12 | subset canary selects no pod |" in text


def test_nothing_of_a_stranger_is_a_command_to_github(
    hostile_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    output = print_run(Run.from_json(hostile_run.to_json()), "github", tmp_path, capsys)
    commands = [line for line in output.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == len(list_problems(hostile_run))
    assert all(command.startswith(("::error file=", "::warning file=")) for command in commands)
    assert not {"\x1b", "\u202e", "\u2028", "\x00"} & set(output + summary.read_text())
    assert "<script>" not in summary.read_text()


@pytest.mark.parametrize("name", RUNS)
def test_gitlab_gets_a_code_quality_report(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = copy(name, request)
    entries = json.loads(print_run(run, "gitlab", tmp_path, capsys))
    assert len(entries) == len(list_problems(run))
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["path"]
        assert entry["location"]["lines"]["begin"] >= 1
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)


@pytest.mark.parametrize("name", RUNS)
def test_sarif_is_valid_and_has_the_problems(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = copy(name, request)
    sarif.Writer(tmp_path).ended(run)
    log = json.loads((tmp_path / "results.sarif").read_text())
    assert validate(log, SARIF_SCHEMA) == []
    results = log["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == [p.name for p in list_problems(run)]
    assert log["runs"][0]["invocations"][0]["exitCode"] == run.exit_code


def test_turns_cannot_be_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text("")
    assert main(["test", "--rules", "rules.yaml", "--each-variant", "-o", "json"]) == 64
    assert "--each-variant has a document for each turn: -o jsonl" in capsys.readouterr().err


@pytest.mark.local
def test_the_command_prints_nothing_else(tmp_path: Path) -> None:
    ended = run_command("test", "-k", "rotation", "-o", "json", folder=tmp_path)
    record = json.loads(ended.output)
    assert (ended.code, record["outcome"]) == (0, "passed")
    assert validate(record, RUN_SCHEMA) == []
