"""Where the machine has no more to give, the message names the limit and what to do."""

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
from tests.robust.real_runs import MESHPROOF, Place

#: What Envoy 1.40 writes when it gets no inotify instance, cut to a few lines of each stack.
ABORTED = """\
[2026-11-28 20:23:48.437][26900][critical][assert] [source/common/filesystem/inotify/watcher_impl\
.cc:25] assert failure: inotify_fd_ >= 0. Details: Consider increasing value of [...] via sysctl
[2026-11-28 20:23:48.437][26900][error][envoy_bug] [./source/common/common/assert.h:60] stacktrace \
for envoy bug
""" + "".join(
    f"[2026-11-28 20:23:48.44{at}][26900][error][envoy_bug] [./source/common/common/assert.h:66] "
    f"#{at} UNKNOWN [0x55652b96b22c]\n"
    for at in range(10)
)


def with_sysctl(name: str, value: int) -> tuple[str, ...]:
    """Return how to run a command for which a setting is lower than for the rest of the machine.

    In a user namespace of its own: others lose nothing by it.
    """
    path = f"/proc/sys/{name.replace('.', '/')}"
    lower = f'echo {value} > {path} && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "sh", "-c", lower, "sh")


@pytest.fixture
def namespaces() -> None:
    """A machine where a user may make a namespace of its own (Linux, unless it is forbidden)."""
    tried = shutil.which("unshare") and subprocess.run(
        [*with_sysctl("user.max_inotify_instances", 20), "true"], capture_output=True, check=False
    )
    if not tried or tried.returncode:
        pytest.skip("this machine lets nobody make a user namespace: its limits cannot be lowered")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    ("setting", "value", "words"),
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
def test_an_envoy_that_gets_no_watch(place: Place, setting: str, value: int, words: str) -> None:
    ended = place.run(*with_sysctl(setting, value), *MESHPROOF, "mesh", "up")
    place.assert_nothing_left()
    assert ended.code == 69, ended.said
    assert re.search(words, re.sub(r"\s+", " ", ended.said)), ended.said
    assert "Traceback" not in ended.said


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
opened = [socket.socket() for _ in range(9)]
"""
    with Workspace.create() as workspace:
        started = workspace.start("greedy", [sys.executable, "-c", program])
        assert started.ends_within(20)
        with pytest.raises(NotReady, match=r"Too many open files\n.*`ulimit -n 4096`"):
            started.require_alive()


def test_the_cause_is_kept_with_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "reviews.envoy.log"
    log.write_text(ABORTED + "".join(f"[warning] more of it {at}\n" for at in range(20)))
    cause, gap, *end = logs.tail(log, 8).splitlines()
    assert "assert failure: inotify_fd_ >= 0" in cause
    assert gap.strip() == "..."
    assert end == [f"    [warning] more of it {at}" for at in range(12, 20)]


def test_the_addresses_of_a_stack_tell_nobody_anything(tmp_path: Path) -> None:
    log = tmp_path / "reviews.envoy.log"
    log.write_text(ABORTED)
    told = logs.tail(log, 8).splitlines()
    assert len(told) == 2
    assert "assert failure" in told[0]
    assert not any("UNKNOWN" in line for line in told)


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (
            "panic: no space left\n\ngoroutine 1:\n" + "main.main()\n" * 30,
            "    panic: no space left",
        ),
        ("\n".join(f"line {at}" for at in range(30)), "    line 22"),
        ("", "    (its log is empty)"),
    ],
)
def test_what_comes_first(tmp_path: Path, said: str, first: str) -> None:
    log = tmp_path / "prometheus.log"
    log.write_text(said)
    assert logs.tail(log, 8).splitlines()[0] == first


@pytest.mark.parametrize("said", ["", "error: no route", "[critical][main] bad config"])
def test_other_words_are_no_limit(said: str) -> None:
    assert limits.hints(said) == []
