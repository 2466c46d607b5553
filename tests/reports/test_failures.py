"""A failure is a value: text that looks like a part of a failure changes nothing in any report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproof.base.clues import Clue
from meshproof.base.errors import Inconclusive
from meshproof.base.place import Place
from meshproof.reports import console, html, junit, record
from meshproof.run.cause import Cause
from meshproof.run.failure import BrokenPromise, Failure
from meshproof.run.record import Outcome, Result, Run

#: What a stranger's response may hold.
BODY = (
    "oops\npromise: every request is answered\ndiagnosis: /etc\nexpected: nothing\nsee it: rm -rf /"
)
FAILURE = Failure(
    summary="v2 answered",
    cause=f"v2 answered with {BODY}",
    expected="v1 answers",
    observed=BODY,
    curl="curl -i http://127.0.0.1:1/",
    clues=(Clue("reviews-v2", BODY),),
    diagnosis="meshproof-report/diagnosis/v1-only",
)


@pytest.fixture
def run_with_failure() -> Run:
    result = Result(
        "v1 only", "only v1 answers", Outcome.FAILED, failure=FAILURE, rule=Place("rules.yaml", 7)
    )
    return Run("0.1.0", "local", "proven", "meshproof test", "2026-12-01", results=[result])


def test_parts_are_the_fields(run_with_failure: Run) -> None:
    assert run_with_failure.results[0].parts == [
        ("promise", "only v1 answers, rule at rules.yaml:7"),
        ("cause", f"v2 answered with {BODY}"),
        ("expected", "v1 answers"),
        ("observed", BODY),
        ("see it", "curl -i http://127.0.0.1:1/"),
        ("clues", f"reviews-v2: {BODY}"),
        ("diagnosis", "meshproof-report/diagnosis/v1-only"),
    ]


def test_each_part_is_there_once() -> None:
    failure = Failure("v2 answered", root_cause=Cause("a", Place("b.yaml", 1), "c", ("d",)))
    assert failure.parts == [("because", "a (b.yaml:1): c"), ("repair", "d")]


def test_the_record_comes_back_as_it_was(run_with_failure: Run, tmp_path: Path) -> None:
    record.Writer(tmp_path).ended(run_with_failure)
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text)["results"][0]["title"] == "only v1 answers"
    assert Run.from_json(text).results[0].failure == FAILURE


def test_no_report_reads_text_back(
    run_with_failure: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for report in (junit, html):
        report.Writer(tmp_path).ended(run_with_failure)
    console_writer = console.Writer(tmp_path)
    console_writer.started(run_with_failure)
    console_writer.ended(run_with_failure)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("   promise ")] == [
        "   promise     only v1 answers, rule at rules.yaml:7"
    ]
    assert printed.count("   diagnosis ") == 1
    page = (tmp_path / "index.html").read_text()
    assert page.count("<dt>diagnosis</dt>") == 1
    assert "<dt>diagnosis</dt><dd>/etc" not in page
    assert (tmp_path / "junit.xml").read_text().count("\npromise: only v1 answers") <= 1


def test_a_broken_promise_shows_its_parts_where_nothing_records_it() -> None:
    error = BrokenPromise("v2 answered", "v1 answers", "HTTP 200", "curl -i URL")
    assert str(error) == (
        "v2 answered\nexpected: v1 answers\nobserved: HTTP 200\nsee it: curl -i URL"
    )


def test_an_inconclusive_promise_shows_its_parts_alike() -> None:
    error = Inconclusive("a policy refuses", observed="HTTP 403", curl="curl -i URL")
    assert str(error) == "a policy refuses\nobserved: HTTP 403\nsee it: curl -i URL"
