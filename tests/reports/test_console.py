import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base.place import Place
from meshproof.reports import console
from meshproof.run.record import Outcome, Result, Run
from tests.obeyed import find_obeyed
from tests.reports.conftest import build_check, build_run

CURL = "see it      curl -s -H 'Host: bookinfo.local' http://127.0.0.1:32801/productpage"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def write_report(run: Run, folder: Path, *progress: str) -> None:
    writer = console.Writer(folder)
    writer.started(Run.from_json(run.to_json()))
    for text in progress:
        writer.progress(text)
    for result in run.results:
        writer.finished(result)
    writer.ended(run)


def print_run(run: Run, capsys: pytest.CaptureFixture[str], *progress: str) -> list[str]:
    write_report(run, Path("meshproof-report"), *progress)
    return capsys.readouterr().out.splitlines()


def test_exact_lines_without_a_terminal(mixed_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    lines = print_run(replace(mixed_run, is_verbose=True), capsys)
    assert lines[:3] == [
        "meshproof 0.1.0, local mesh",
        f"  proves    {mixed_run.proven}",
        f"  stand-in  {mixed_run.standins[0]}",
    ]
    at = lines.index("+ v3 only (VirtualService)                         passed             1.3 s")
    statement = str(mixed_run.results[0].checks[0].verdict).removeprefix("passed: ")
    assert " ".join(lines[at + 1 : at + 3]).startswith(f"  {statement}")
    assert lines[-1] == (
        "Failed: 2 of 7 promises are broken. 2 passed, 2 failed, 1 inconclusive, "
        "1 not supported, 1 skipped, 1 mesh not ready; 2501 requests judged in 30 s; "
        "reports in meshproof-report"
    )


SETTLED = "11 proxies took version 3f2a19c8 in 0.21 s; 0 requests before that, none counted"


def test_how_the_mesh_settled_is_said_once(
    green_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = [replace(result, served=green_run.results[0].served) for result in green_run.results]
    lines = print_run(replace(green_run, results=twice, is_verbose=True), capsys)
    assert [line for line in lines if "settled" in line] == [f"  settled   {SETTLED}"]
    assert lines.index(f"  settled   {SETTLED}") > lines.index(
        "+ v3 only (VirtualService)                         passed             1.3 s"
    )


def read_failure_parts(lines: list[str], first: str) -> list[tuple[str, str]]:
    """The parts below `first`, each unwrapped: [("promise", "..."), ...]."""
    at = lines.index(first)
    parts: list[tuple[str, str]] = []
    for line in lines[at + 1 : lines.index("", at)]:
        label, text = line[3:15].strip(), line[15:]
        parts.append((label, text) if label else (parts[-1][0], f"{parts.pop()[1]} {text}"))
    return parts


def test_a_failure_has_its_parts(mixed_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    failed = mixed_run.results[2]
    assert read_failure_parts(
        print_run(mixed_run, capsys), "1. split half (VirtualService): failed"
    ) == [
        ("promise", f"{failed.title}, rule at {failed.rule}"),
        ("expected", "orders is half and half: v1 50 %, v2 50 % (within 10 points)"),
        ("observed", failed.checks[0].verdict.paragraph()),
        ("see it", failed.checks[0].curl),
        ("diagnosis", failed.diagnosis),
    ]


def test_a_message_that_holds_the_parts_is_not_said_twice(
    mixed_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = mixed_run.results[3]
    lines = print_run(mixed_run, capsys)
    assert [line for line in lines if line.startswith("  orders is half and half: the shares fit")]
    assert read_failure_parts(lines, "2. split half (RouteRule): failed") == [
        ("promise", f"{failed.title}, rule at {failed.rule}"),
        ("expected", "v1 0.5, v2 0.5"),
        ("observed", failed.checks[0].verdict.paragraph()),
        ("see it", failed.checks[0].curl),
        ("clues", "reviews: no route weighs the versions"),
        ("diagnosis", failed.diagnosis),
    ]


def test_not_supported_names_the_feature_and_how_to_get_it(
    mixed_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = print_run(replace(mixed_run, is_verbose=True), capsys)
    at = next(number for number, line in enumerate(lines) if "addon grafana" in line)
    assert lines[at + 1] == (
        "  grafana is not installed. Get it with apt-get install grafana, or name one with "
        "--grafana PATH"
    )


def test_a_log_gets_a_line_where_it_was_silent_for_long(
    empty_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["starting 8 Envoys", "starting 9 Envoys", "sending"]
    assert find_progress(print_run(empty_run, capsys, *texts)) == ["... starting 8 Envoys"]
    monkeypatch.setattr(console, "REPEAT_AFTER", 0)
    assert find_progress(print_run(empty_run, capsys, *texts)) == [f"... {text}" for text in texts]


def test_progress_says_how_far_the_run_is(
    empty_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = print_run(replace(empty_run, planned=25), capsys, "sending")
    assert find_progress(lines) == ["... [1/25] sending"]


def find_progress(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("...")]


def test_a_green_run_of_all_promises_fits_forty_lines(
    green_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lacks = [
        Result(f"addon {name}", "", Outcome.NOT_SUPPORTED, reason=f"{name} is not installed")
        for name in ("jaeger", "zipkin")
    ]
    lines = print_run(replace(green_run, results=[*green_run.results * 7, *lacks]), capsys)
    assert len(lines) <= 40
    assert sum(" passed " in line for line in lines) == 14
    text = " ".join(" ".join(lines).split())
    assert "not supported by this mesh: addon jaeger, zipkin (-v says why)" in text
    assert "ruled out a leak of 1 % or more; another version with 10 % or more (missed at" in text
    assert lines[-1].startswith("Passed: 14 of 14 promises are kept. 14 passed, 2 not supported;")


def test_where_nothing_is_supported_each_reason_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lack = Result("addon jaeger", "", Outcome.NOT_SUPPORTED, reason="jaeger is not installed")
    lines = print_run(build_run([lack]), capsys)
    assert "  jaeger is not installed" in lines
    assert lines[-1].startswith("Inconclusive: none of 1 promise was checked.")


def test_shares_are_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    check = build_check("", ["v1", "v2", "v2", "v2"] * 100, ["v1", "v2"])
    run = build_run([Result("split", "", Outcome.PASSED, checks=(check,))])
    lines = print_run(run, capsys)
    assert "  #####---------------  v1 25.7 %, v2 74.3 % of 70 answers" in lines


def build_case(name: str, route: str, line: int, outcome: Outcome = Outcome.PASSED) -> Result:
    rule = Place("k8s/shop.yaml", line)
    return Result(name, "", outcome, rule=rule, route=route, reason="no answer")


def test_a_route_is_one_row_with_its_cases(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    cases = [
        build_case("path /a -> v1", "a", 7),
        build_case("path /ab -> v1", "a", 6),
        build_case("path /b -> v2", "b", 12),
        build_case("path /bc -> v2", "b", 12, Outcome.INCONCLUSIVE),
    ]
    lines = print_run(build_run(cases), capsys)
    rows = [line for line in lines if line.startswith(("  + ", "  ? ", "k8s", "?"))]
    assert [" ".join(row.split()) for row in rows] == [
        "k8s/shop.yaml",
        "+ path /a -> v1 2 cases :7",
        "? path /bc -> v2 inconclusive 0.0 s k8s/shop.yaml:12",
        "? path /b -> v2 1 of 2 cases not passed :12",
    ]
    assert all(len(row) == 80 for row in rows if row.startswith("  "))


def test_a_route_has_the_mark_of_its_worst_case(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = (Outcome.INCONCLUSIVE, Outcome.FAILED, Outcome.PASSED)
    lines = print_run(build_run([build_case("any", "a", 7, each) for each in outcomes]), capsys)
    (row,) = (line for line in lines if "of 3 cases" in line)
    assert row.startswith("  x any")


def test_a_quiet_run_is_one_line(mixed_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = print_run(replace(mixed_run, is_quiet=True), capsys, "sending")
    assert line.startswith("Failed: 2 of 7 promises are broken.")


def test_a_run_over_nothing_is_not_green(
    empty_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    last = print_run(empty_run, capsys)[-1]
    assert last == (
        "Inconclusive: nothing was checked. 0 promises; 0 requests judged in 30 s; "
        "reports in meshproof-report"
    )


@pytest.mark.parametrize("columns", [30, 31, 32, 33, 40, 41, 42, 43])
def test_no_line_becomes_a_command_where_it_is_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    reason = "the label was a::error::b ::warning::c and ##vso[task]d " * 3
    run = build_run([Result("one", "one", Outcome.SKIPPED, reason=reason)])
    assert find_obeyed("\n".join(print_run(run, capsys))) == []


@pytest.mark.parametrize("columns", [30, 50, 80])
def test_a_narrow_terminal_breaks_everything_but_the_curl(
    mixed_run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = print_run(mixed_run, capsys)
    assert [line for line in lines[:-1] if len(line) > columns and "curl" not in line] == []
    assert sum(CURL in line for line in lines) == 3
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_name_cannot_steer_the_terminal(
    hostile_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out = "\n".join(print_run(hostile_run, capsys))
    assert r"x <script>alert(1)</script> & \x1b[31m\x00 \ud800" in out
    assert find_obeyed(out) == []


SCRIPT = """
import sys
from pathlib import Path
from meshproof.reports.console import Writer
from meshproof.run.record import Outcome, Result, Run
from tests.obeyed import find_obeyed
from tests.reports.conftest import build_check, build_run
run = Run.from_json(Path(sys.argv[1]).read_text())
results, run.results = run.results, []
writer = Writer(Path("out"))
writer.started(run)
print("between")
writer.progress("waiting for Envoys")
for result in results * int(sys.argv[2]):
    writer.finished(result)
writer.ended(run)
print("after")
"""


@pytest.fixture
def script(green_run: Run, tmp_path: Path) -> list[str]:
    (tmp_path / "run.json").write_text(green_run.to_json())
    return [sys.executable, "-c", SCRIPT, str(tmp_path / "run.json")]


def test_the_order_holds_in_a_pipe(script: list[str]) -> None:
    done = subprocess.run([*script, "1"], capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    order = [lines.index(line) for line in ("between", "... waiting for Envoys", "after")]
    assert order == sorted(order)
    assert lines[-1] == "after"
    assert done.stderr == ""


def test_a_reader_that_leaves_is_no_error(script: list[str]) -> None:
    with subprocess.Popen(
        [*script, "2000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("environment", "expected", "unexpected"),
    [
        ({"TERM": "xterm"}, ["✓ v3 only", "\x1b[?25l", "\x1b[?25h"], ["... waiting"]),
        ({"TERM": "dumb"}, ["+ v3 only", "... waiting"], ["\x1b", "✓"]),
        ({"TERM": "xterm", "CI": "true"}, ["✓ v3 only", "... waiting"], ["\x1b[?25l"]),
        ({"TERM": "xterm", "NO_COLOR": "1"}, ["+ v3 only"], ["✓", "\x1b[32m", "... waiting"]),
        ({"TERM": "xterm", "PYTHONIOENCODING": "ascii"}, ["+ v3 only"], ["✓"]),
    ],
)
def test_a_terminal(
    script: list[str], environment: dict[str, str], expected: list[str], unexpected: list[str]
) -> None:
    keeper, terminal = pty.openpty()
    env = {**os.environ, **environment}
    running = subprocess.Popen([*script, "1"], stdout=terminal, stdin=terminal, env=env)
    os.close(terminal)
    out = b""
    try:
        while chunk := os.read(keeper, 65536):
            out += chunk
    except OSError:  # Linux: the other end has closed
        pass
    os.close(keeper)
    assert running.wait(60) == 0
    text = out.decode()
    assert [part for part in expected if part not in text] == []
    assert [part for part in unexpected if part in text] == []


PHASES = {"start": 5.0, "requests": 14.0, "judging": 0.25, "removal": 0.75}


def test_the_time_of_each_phase_is_printed_if_asked_for(
    green_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = replace(green_run, phases=PHASES)
    assert "  time" not in print_run(run, capsys)
    lines = print_run(replace(run, shows_durations=True), capsys)
    at = lines.index("  time")
    assert lines[at + 1 : at + 5] == [
        "    start         5.0 s  ##########",
        "    requests       14 s  ############################",
        "    judging       0.2 s",
        "    removal       0.8 s  ##",
    ]
