"""Where a limit of the machine is reached, the message names the limit and what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.process import limits, logs
from meshproof.mesh.process.processes import Workspace
from tests.robust.real_runs import MESHPROOF, CommandRunner

#: What Envoy 1.40 writes when it gets no inotify instance, cut to a few lines of each stack.
ABORT_LOG = """\
[2026-11-28 20:23:48.437][26900][critical][assert] [source/common/filesystem/inotify/watcher_impl\
.cc:25] assert failure: inotify_fd_ >= 0. Details: Consider increasing value of [...] via sysctl
[2026-11-28 20:23:48.437][26900][error][envoy_bug] [./source/common/common/assert.h:60] stacktrace \
for envoy bug
""" + "".join(
    f"[2026-11-28 20:23:48.44{row}][26900][error][envoy_bug] [./source/common/common/assert.h:66] "
    f"#{row} UNKNOWN [0x55652b96b22c]\n"
    for row in range(10)
)


def with_sysctl(name: str, value: int) -> tuple[str, ...]:
    """Return a command prefix that lowers a kernel setting for the command alone.

    It runs in a user namespace of its own, so the rest of the machine keeps its setting.
    """
    path = f"/proc/sys/{name.replace('.', '/')}"
    lower = f'echo {value} > {path} && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "sh", "-c", lower, "sh")


@pytest.fixture
def user_namespaces() -> None:
    """Skip the test where a user may not make a user namespace (or outside Linux)."""
    attempt = shutil.which("unshare") and subprocess.run(
        [*with_sysctl("user.max_inotify_instances", 20), "true"], capture_output=True, check=False
    )
    if not attempt or attempt.returncode:
        pytest.skip("this machine lets nobody make a user namespace: its limits cannot be lowered")


@pytest.mark.usefixtures("user_namespaces")
@pytest.mark.parametrize(
    ("setting", "value", "pattern"),
    [
        (
            "user.max_inotify_instances",
            20,
            r"\S+\.envoy was ended by signal 6 \(Aborted\); last lines of its log:.*"
            r"assert failure: inotify_fd_ >= 0.* This user's inotify instances are used up: .*"
            r"user\.max_inotify_instances is 20 \(held now: .*envoy \d+.*`sudo sysctl "
            r"user\.max_inotify_instances=1024`",
        ),
        (
            "user.max_inotify_watches",
            20,
            r"unable to add filesystem watch .* This user may watch no more folders: "
            r"user\.max_inotify_watches is 20\. Raise it: `sudo sysctl user\.max_inotify_watches=1",
        ),
    ],
)
def test_an_envoy_that_gets_no_watch(
    runner: CommandRunner, setting: str, value: int, pattern: str
) -> None:
    result = runner.run(*with_sysctl(setting, value), *MESHPROOF, "mesh", "up")
    runner.assert_no_leftovers()
    assert result.code == 69, result.output
    assert re.search(pattern, re.sub(r"\s+", " ", result.output)), result.output
    assert "Traceback" not in result.output


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
opened = [socket.socket() for _ in range(9)]
"""
    with Workspace.create() as workspace:
        process = workspace.start("greedy", [sys.executable, "-c", program])
        assert process.does_end_within(20)
        with pytest.raises(NotReady, match=r"Too many open files\n.*`ulimit -n 4096`"):
            process.require_alive()


def test_the_cause_is_kept_with_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "reviews.envoy.log"
    log.write_text(ABORT_LOG + "".join(f"[warning] more of it {row}\n" for row in range(20)))
    cause, gap, *last_lines = logs.format_tail(log, 8).splitlines()
    assert "assert failure: inotify_fd_ >= 0" in cause
    assert gap.strip() == "..."
    assert last_lines == [f"    [warning] more of it {row}" for row in range(12, 20)]


def test_the_addresses_of_a_stack_tell_nobody_anything(tmp_path: Path) -> None:
    log = tmp_path / "reviews.envoy.log"
    log.write_text(ABORT_LOG)
    lines = logs.format_tail(log, 8).splitlines()
    assert len(lines) == 2
    assert "assert failure" in lines[0]
    assert not any("UNKNOWN" in line for line in lines)


@pytest.mark.parametrize(
    ("log_text", "first_line"),
    [
        (
            "panic: no space left\n\ngoroutine 1:\n" + "main.main()\n" * 30,
            "    panic: no space left",
        ),
        ("\n".join(f"line {row}" for row in range(30)), "    line 22"),
        ("", "    (its log is empty)"),
    ],
)
def test_what_comes_first(tmp_path: Path, log_text: str, first_line: str) -> None:
    log = tmp_path / "prometheus.log"
    log.write_text(log_text)
    assert logs.format_tail(log, 8).splitlines()[0] == first_line


@pytest.mark.parametrize("log_text", ["", "error: no route", "[critical][main] bad config"])
def test_other_words_are_no_limit(log_text: str) -> None:
    assert limits.suggest_fixes(log_text) == []
