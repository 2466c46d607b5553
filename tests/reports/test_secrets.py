"""No report holds a secret: planted where a run may meet them, looked for in all that it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base.place import Place
from meshproof.run.failure import Failure
from meshproof.run.record import Check, Outcome, Result, Run, formats, writers
from meshproof.run.redacted import redact_result, redact_run
from meshproof.run.remark import Remark

#: Where it is planted -> the secret. What follows `Bearer` has no form of its own.
SECRETS = {
    "environment": "Xq7-from-the-environment",
    "foreign error": "Xq7-password-of-a-database",
    "assertion": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJYcTcifQ.Xq7c2lnbmF0dXJl",
    "skip": "ghp_Xq7" + "a1B2c3D4" * 4 + "e",
    "setup": "Xq7c3VwZXItc2VjcmV0",
    "our error": "Xq7dG9rZW4tb2Ytb3Vycw",
    "command": "Xq7-of-the-command-line",
    "certificate": "Xq7MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
}
TESTS = """
import os
import pytest
from meshproof.base.errors import NotReady

SECRETS = {secrets}

def test_foreign_error():
    raise RuntimeError(f"cannot connect: password={{SECRETS['foreign error']}}")

def test_assertion():
    cookies = "session " + SECRETS["assertion"]
    assert cookies == "", f"got {{cookies}}"

def test_bare_assertion():
    assert f"Authorization: Bearer {{SECRETS['assertion']}}" == ""

def test_skip():
    pytest.skip("no access with " + SECRETS["skip"])

@pytest.fixture
def client():
    raise OSError(f"GET https://admin:{{SECRETS['setup']}}@shop.example.com: 401")

def test_setup(client):
    pass

def test_our_error():
    raise NotReady(f"the API server refuses Bearer {{SECRETS['our error']}}")

def test_certificate():
    key = "-----BEGIN PRIVATE KEY-----\\n" + SECRETS["certificate"] + "\\n-----END PRIVATE KEY-----"
    raise ValueError(f"not a key: {{key}}")

def test_cookie(judge):
    judge(["v1"] * 99, name="cookie: user=burr", expect={{"v1": 50, "v2": 50}})
"""


def list_views(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the text of each report of a run, and of each output."""
    for writer in writers([name for name in formats() if name != "console"], folder):
        writer.started(run)
        writer.ended(run)
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    for output in ("text", "json", "jsonl", "github", "gitlab"):
        for is_verbose in (False, True):
            (writer,) = writers(["console"], folder, output)
            shown = replace(run, is_verbose=is_verbose)
            writer.started(shown)
            for result in run.results:
                writer.finished(result)
            writer.ended(shown)
            texts[f"-o {output} {is_verbose}"] = capsys.readouterr().out
    return texts


def test_a_run_that_meets_secrets_reports_none(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytester.makepyfile(TESTS.format(secrets=repr(SECRETS)))
    monkeypatch.setenv("SHOP_API_TOKEN", SECRETS["environment"])
    option = f"--mesh-gateway-url=https://admin:{SECRETS['command']}@shop.example.com"
    pytester.runpytest_subprocess("--mesh-report", "out", option)
    report = pytester.path / "out"
    run = Run.from_json((report / "run.json").read_text())
    assert [result.outcome.value for result in run.results] == [
        *["failed"] * 3,
        "skipped",
        *["failed", "mesh not ready", "failed", "failed"],
    ]
    assert "cookie: user=burr" in (report / "index.html").read_text()
    texts = {path.name: path.read_text("utf-8") for path in report.iterdir() if path.is_file()}
    capsys.readouterr()  # what pytest itself has printed of the run
    texts |= list_views(run, tmp_path, capsys)
    assert len(texts) > 15
    found = {(name, secret) for name, text in texts.items() for secret in re.findall("Xq7.*", text)}
    assert not found


def test_no_field_of_the_record_keeps_a_token(
    green_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SECRETS["skip"]
    remark = Remark(Place(secret, 3), secret, secret)
    check = Check(secret, secret, secret, green_run.results[0].checks[0].verdict, 0, secret)
    planted = Result(
        secret,
        secret,
        Outcome.FAILED,
        secret,
        Failure(secret, secret, secret, secret, secret),
        secret,
        secret,
        Place(secret, 3),
        checks=(check,),
        route=secret,
        code=secret,
        warnings=(remark,),
        features=(secret,),
    )
    run = Run(secret, secret, secret, secret, secret, error=secret)
    run.standins, run.notes, run.not_proven = [secret], [secret], [secret]
    run.unreached = [remark]
    redact_run(run)
    run.results.append(redact_result(planted))
    assert run.results[0].checks[0].verdict is check.verdict
    for text in (run.to_json(), *list_views(run, tmp_path, capsys).values()):
        assert "Xq7" not in text


def test_what_a_rule_matches_is_shown(green_run: Run) -> None:
    curl = "curl -H 'x-api-key: abc' -H 'Cookie: user=burr' http://127.0.0.1:8080/?state=open"
    result = replace(green_run.results[0], failure=Failure("cookie: user=burr", curl=curl))
    assert redact_result(result) == result
