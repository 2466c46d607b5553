"""SARIF 2.1.0, held against the official schema.

The schema is lib/schemas/sarif-2.1.0-rtm.5.json of the npm package @microsoft/jest-sarif
1.0.0-beta.0 (MIT), unchanged. No package on PyPI ships it (sarif-om and sarif-tools do not).
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from meshproof import __version__
from meshproof.documents.manifest import STDIN_NAME, At, parse
from meshproof.documents.sources import SourceFiles
from meshproof.lint import Finding, Level, Page, lint, load_checks, read_page
from meshproof.lint.engine import ignore_comments, output

SCHEMA = Path(__file__).with_name("sarif-2.1.0-rtm.5.json")
SHA256 = "2d99159ae54a3eea97f81781cff48780548657c35949f4b7f25e99a2ba4de4f8"
CODES = (ignore_comments.CODE, *(check.code for check in load_checks()))
PAGES: list[Page] = [read_page(code) for code in CODES]


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = importlib.import_module("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft4Validator(schema)


def sarif(findings: list[Finding], reading: SourceFiles, code: int = 79) -> Any:
    return json.loads(output.render_sarif(findings, reading, PAGES, code))


@pytest.fixture(scope="module")
def valid_rules(validator: Any) -> list[Any]:
    """Return the rules that every log has, held against the schema once."""
    log = sarif([], SourceFiles())
    assert [error.message for error in validator.iter_errors(log)] == []
    rules: list[Any] = log["runs"][0]["tool"]["driver"]["rules"]
    return rules


def test_the_schema_is_the_official_one() -> None:
    assert hashlib.sha256(SCHEMA.read_bytes()).hexdigest() == SHA256


def test_the_schema_refuses_what_is_no_log(validator: Any) -> None:
    log = sarif([], SourceFiles())
    assert validator.is_valid(log)
    log["runs"][0]["results"] = [{"message": "text"}]
    assert not validator.is_valid(log)


@pytest.mark.parametrize("described", PAGES, ids=[page.code for page in PAGES])
def test_every_code_makes_a_valid_log(
    validator: Any, valid_rules: list[Any], described: Page
) -> None:
    if described.code in ("MP0001", "MP0100", "MP0214"):
        findings = [Finding(At("a.yaml", 1), described.code, described.level, "said", "repair")]
    else:
        findings = lint(parse(described.bad, "a.yaml"))
    log = sarif(findings, SourceFiles([], [], {"a.yaml": described.bad}))
    driver = log["runs"][0]["tool"]["driver"]
    rules = driver["rules"]
    assert rules == valid_rules
    driver["rules"] = []  # the schema need not be held against all of them again
    assert [error.message for error in validator.iter_errors(log)] == []
    for result, finding in zip(log["runs"][0]["results"], findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.code
        region = result["locations"][0]["physicalLocation"]["region"]
        assert (region["startLine"], region["startColumn"]) == (finding.at.line, finding.at.column)


def test_rules_come_from_the_doc_pages() -> None:
    driver = sarif([], SourceFiles(), 0)["runs"][0]["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("meshproof", __version__)
    assert [rule["id"] for rule in driver["rules"]] == [page.code for page in PAGES]
    for rule, described in zip(driver["rules"], PAGES, strict=True):
        assert rule["shortDescription"]["text"] == f"{described.title}."
        assert described.bad.rstrip() in rule["help"]["text"]
        assert f"```yaml\n{described.good}```" in rule["help"]["markdown"]
        assert rule["name"].isalnum()
        levels = {"error": "error", "warning": "warning", "info": "note"}
        assert rule["defaultConfiguration"]["level"] == levels[described.level]


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("rules/a b.yaml", "rules/a%20b.yaml"),
        ("/srv/rules/ä.yaml", "file:///srv/rules/%C3%A4.yaml"),
        (STDIN_NAME, "stdin"),
        ("a\udce4.yaml", "a%E4.yaml"),
    ],
)
def test_files_are_uris(validator: Any, file: str, uri: str) -> None:
    log = sarif([Finding(At(file, 1), "MP0301", Level.WARNING, "said")], SourceFiles())
    assert validator.is_valid(log)
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == uri


def test_a_fingerprint_stays_when_lines_are_added_above() -> None:
    def fingerprint(text: str, line: int) -> str:
        finding = Finding(At("a.yaml", line), "MP0301", Level.WARNING, "said")
        (result,) = sarif([finding], SourceFiles([], [], {"a.yaml": text}))["runs"][0]["results"]
        return str(result["partialFingerprints"]["codeAndLine/v1"])

    assert fingerprint("a: 1\nb: 2\n", 2) == fingerprint("a: 1\n\n# more\nb: 2\n", 4)
    assert fingerprint("a: 1\nb: 2\n", 2) != fingerprint("a: 1\nb: 3\n", 2)


def test_a_run_that_could_not_read_was_no_success() -> None:
    for code, success in ((0, True), (79, True), (65, False)):
        (invocation,) = sarif([], SourceFiles(), code)["runs"][0]["invocations"]
        assert (invocation["exitCode"], invocation["executionSuccessful"]) == (code, success)
