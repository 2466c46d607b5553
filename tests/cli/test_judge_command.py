from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict import judge


def run_judge(*arguments: str, labels: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshproof", "judge", *arguments],
        input=labels,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def draw_labels(shares: dict[str, float], count: int = 3000, seed: int = 7) -> str:
    chosen = random.Random(seed).choices(list(shares), list(shares.values()), k=count)
    return "\n".join(chosen) + "\n"


@pytest.mark.parametrize(
    ("labels", "code", "outcome"),
    [
        (draw_labels({"v1": 50, "v2": 50}), 0, "passed"),
        (draw_labels({"v1": 65, "v2": 35}), 1, "failed"),
        (draw_labels({"v1": 100}), 1, "failed"),
        ("v1\nv2\n" * 1000, 1, "failed"),
        (draw_labels({"v1": 50, "v2": 50}, count=40), 3, "inconclusive"),
        ("-\n\n" * 400, 3, "inconclusive"),
        ("", 3, "inconclusive"),
    ],
    ids=["half", "65-35", "100-0", "round-robin", "too-few", "no-version-named", "nothing"],
)
def test_exit_code_and_json_tell_the_verdict(labels: str, code: int, outcome: str) -> None:
    process = run_judge("--expect", "v1=50,v2=50", "-o", "json", labels=labels)
    assert process.returncode == code, process.stderr
    verdict = json.loads(process.stdout)
    assert verdict["outcome"] == outcome
    assert verdict["n"] == sum(verdict["counts"].values())
    assert verdict["expected"] == {"v1": 0.5, "v2": 0.5}
    assert verdict["reason"]


def test_text_and_json_end_with_the_same_code() -> None:
    labels = draw_labels({"v1": 100})
    text = run_judge("--expect", "v1=50,v2=50", labels=labels)
    assert text.returncode == 1
    assert text.stdout.startswith("failed: ")
    assert "Promised: v1 50 %, v2 50 %" in text.stdout


def test_a_regular_split_passes_without_the_order() -> None:
    labels = "v1\nv2\n" * 1000
    process = run_judge("--expect", "v1=50,v2=50", "--no-independence", labels=labels)
    assert process.returncode == 0, process.stdout


def test_names_alone_ask_for_presence() -> None:
    assert run_judge("--expect", "v1,v2", labels=draw_labels({"v1": 1, "v2": 1})).returncode == 0
    missing = run_judge("--expect", "v1,v2,v3", labels=draw_labels({"v1": 1, "v2": 1}))
    assert missing.returncode == 1
    assert "v3 never answered" in missing.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--expect is missing"),
        (["--expect", "v1=half,v2=50"], "expected NAME=WEIGHT, found 'v1=half'"),
        (["--expect", "v1=50,v2"], "expected NAME=WEIGHT, found 'v2'"),
        (["--expect", "v1=50,v1=50"], "named twice"),
        (["--expect", "v1=0,v2=0"], "all weights are 0"),
        (["--expect", "v1=50,=50"], "has no name"),
        (["--expect", "v1=50,v2=50", "--tolerance", "2"], "expected a number from 0.001 to 0.999"),
        (
            ["--expect", "v1=50,v2=50", "--alpha", "0"],
            "--alpha 0: expected a number from 1e-12",
        ),
        (["--replay", "no-such-report"], "No such file"),
    ],
)
def test_unusable_options_end_with_64(arguments: list[str], message: str) -> None:
    process = run_judge(*arguments, labels="v1\n")
    assert process.returncode == 64
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_a_plan_tells_the_cost_beforehand() -> None:
    process = run_judge("--plan", "--expect", "v1=50,v2=50")
    assert process.returncode == 0
    assert "never more than" in process.stdout
    assert "no v1" in process.stdout
    plan = json.loads(run_judge("--plan", "--expect", "v1=1,v2=1", "-o", "json").stdout)
    assert plan["scenarios"][0]["mean"] < plan["n_max"]


def test_plan_and_verdict_say_where_the_limits_come_from() -> None:
    arguments = ["--expect", "v1=50,v2=50", "--tolerance", "0.2", "--look-every", "20"]
    process = run_judge("--plan", *arguments)
    assert "  tolerance 20 points (--tolerance)\n" in process.stdout
    assert "  beta 1 time in 1000 (profile gate)\n" in process.stdout
    plan = json.loads(run_judge("--plan", *arguments, "-o", "json").stdout)
    assert plan["limits"]["tolerance"] == {"value": 0.2, "by": "--tolerance", "run": None}
    text = run_judge(*arguments, labels=draw_labels({"v1": 50, "v2": 50})).stdout
    assert "Limits: tolerance 20 points (--tolerance); beta 1 time in 1000 (profile gate);" in text


def write_report(folder: Path, labels: list[str]) -> Path:
    verdict = judge(labels, {"v1": 50, "v2": 50})
    check = Check(name="", by="orders", curl="", verdict=verdict)
    result = Result("split half", "half each", Outcome(str(verdict.outcome)), checks=(check,))
    run = Run("0", "local", "", "", "", results=[result])
    (folder / "run.json").write_text(run.to_json(), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("share", "code"), [(50, 0), (70, 1)])
def test_a_report_is_judged_again_with_the_same_answer(
    tmp_path: Path, share: int, code: int
) -> None:
    labels = draw_labels({"v1": share, "v2": 100 - share}).split()
    process = run_judge("--replay", str(write_report(tmp_path, labels)))
    assert process.returncode == code, process.stderr
    assert process.stdout.startswith("split half: ")


def test_a_report_whose_labels_say_otherwise_is_refused(tmp_path: Path) -> None:
    write_report(tmp_path, draw_labels({"v1": 50, "v2": 50}).split())
    stored = json.loads((tmp_path / "run.json").read_text())
    verdict = stored["results"][0]["checks"][0]["verdict"]
    verdict["labels"] = list(itertools.repeat("v1", len(verdict["labels"])))
    (tmp_path / "run.json").write_text(json.dumps(stored))
    process = run_judge("--replay", str(tmp_path))
    assert process.returncode == 65
    assert "recorded 'passed" in process.stderr


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    process = run_judge("--replay", str(tmp_path))
    assert process.returncode == 65
    assert "not a run record" in process.stderr
