from __future__ import annotations

import io
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from meshproof.cli.judge import read_labels
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict import Judge, Settings, judge


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


def test_answers_without_a_version_are_counted_among_all() -> None:
    text = run_judge("--expect", "v1=50,v2=50", labels="-\n" * 400).stdout
    assert "20 of 20 answers named no version" in text
    assert "and 20 that named no version (100 %, at most 100 %)" in text


def test_a_regular_split_passes_without_the_order() -> None:
    labels = "v1\nv2\n" * 1000
    process = run_judge("--expect", "v1=50,v2=50", "--no-independence", labels=labels)
    assert process.returncode == 0, process.stdout


def test_a_check_of_no_order_gives_its_alpha_to_the_weights() -> None:
    labels = "v1\nv2\n" * 1000
    process = run_judge("--expect", "v1=50,v2=50", "--no-independence", "-o", "json", labels=labels)
    verdict = json.loads(process.stdout)
    assert verdict["settings"]["alpha"] == 1e-4


def test_a_small_share_is_told_from_half_of_it() -> None:
    labels = draw_labels({"v1": 95, "v2": 5})
    assert run_judge("--expect", "v1=90,v2=10", labels=labels).returncode == 1
    chosen = run_judge("--expect", "v1=90,v2=10", "--tolerance", "0.1", labels=labels)
    assert chosen.returncode == 0, chosen.stdout


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"v1\n\xff\xfe\n", "is no text"),
        (b"v1\nv\0\n", "is no text"),
        (bytes(range(256)) * 9000, "is no text"),
        (b"v" * 10_000_000, "a line of more than 4096 bytes"),
    ],
    # pytest puts an id into the environment of the process that is started.
    ids=["no UTF-8", "a zero", "all bytes", "one long line"],
)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_input_that_is_no_labels_is_refused(content: bytes, message: str, locale: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "meshproof", "judge", "--expect", "v1=50,v2=50"],
        input=content,
        capture_output=True,
        env={**os.environ, "LC_ALL": locale},
        timeout=60,
    )
    assert process.returncode == 64
    assert message in process.stderr.decode()
    assert b"Traceback" not in process.stderr


def test_memory_does_not_grow_with_the_labels() -> None:
    settings = Settings(tolerance=1e-4, leak=1e-4, look_every=10**6)
    judge = Judge({"v1": 50, "v2": 50}, settings, keeps_labels=False)
    tracemalloc.start()
    for label in itertools.islice(itertools.cycle(["v1", "v2", "v2", "v1"]), 60_000):
        judge.feed([label])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000, "60 000 references alone take 480 000 bytes"
    assert judge.verdict().n == 60_000
    assert judge.verdict().labels == ()


def test_lines_are_read_in_bulk_and_few_are_kept() -> None:
    lines = b"".join(b"v%d\n" % (number % 3000) for number in range(200_000))
    reads: list[int] = []

    class Counting(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return super().read1(size)

    stream = io.TextIOWrapper(Counting(lines + b"\n-\nlast"))
    tracemalloc.start()
    count = sum(1 for _ in read_labels(stream))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200_003
    assert len(reads) < 10, "a call for each of 10 million lines takes longest"
    assert peak < 8_000_000


def test_a_label_may_be_cut_between_two_reads() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(3)

    stream = io.TextIOWrapper(Slow("v1\r\nvé\n\n-\nv22".encode()))
    assert list(read_labels(stream)) == ["v1", "vé", None, None, "v22"]


FIELDS = [None, True, 0, -1, 1e308, math.inf, math.nan, "", "x", [], {}, [1], {"a": 1}, 10**400]


def damage(record: dict[str, Any], draw: random.Random) -> bytes:
    """Return a record with a field removed, added or set, or with some of its bytes changed."""
    if draw.random() < 0.3:
        text = bytearray(json.dumps(record).encode())
        for _ in range(draw.randint(1, 3)):
            position = draw.randrange(len(text))
            text[position : position + draw.randrange(200)] = draw.randbytes(draw.randrange(3))
        return bytes(text)
    node: Any = record
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(min(len(node), 3)))
        key = draw.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and draw.random() < 0.9:
            node = node[key]
        elif isinstance(node, dict) and draw.random() < 0.3:
            del node[key]
            return json.dumps(record).encode()
        else:
            node[key] = draw.choice(FIELDS)
            return json.dumps(record).encode()


def test_no_damaged_report_ends_in_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (write_report(tmp_path, ["v1"] * 30) / "run.json").read_text()
    draw = random.Random(11)
    codes = Counter[int]()
    for _ in range(3000):
        (tmp_path / "run.json").write_bytes(damage(json.loads(text), draw))
        codes[main(["judge", "--replay", str(tmp_path)])] += 1
        assert "Traceback" not in capsys.readouterr().err
    assert set(codes) <= {0, 1, 3, 65}
    assert codes[65] > 1000
