"""However a run on a real istiod ends, nothing is left of it; what does not start is named."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.base.errors import ProcessEnded
from meshproof.mesh.istiod import control_plane
from meshproof.mesh.istiod.mesh import IstiodMesh
from meshproof.mesh.process.ports import find_free_ports
from meshproof.mesh.protocol import Options
from meshproof.run.record import Outcome
from tests import ROOT
from tests.command import run_command
from tests.robust.real_runs import MESHPROOF, CommandRunner, wait_for_end, wait_until

HERE = Path(__file__).parent
RULES = ("--rules", str(HERE / "callers.yaml"))
pytestmark = pytest.mark.istiod


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[CommandRunner]:
    """Runs commands in an empty folder; kills the processes that a test leaves."""
    runner = CommandRunner(tmp_path)
    yield runner
    for process in runner.processes():
        process.kill()


@pytest.fixture
def command(pilot_discovery: str) -> tuple[str, ...]:
    """A run of a few rules on a real istiod."""
    return (*MESHPROOF, "test", "--mesh", "istiod", "--istiod", pilot_discovery, *RULES)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("count", [2, 3, 5], ids=["api-server", "istiod", "proxies"])
def test_a_signal_ends_a_run_in_order_whatever_has_started(
    runner: CommandRunner, command: tuple[str, ...], count: int, number: int
) -> None:
    process = runner.start(*command)
    wait_until(lambda: len(runner.processes()) >= count, process)
    process.send_signal(number)
    result = wait_for_end(process)
    runner.assert_no_leftovers()
    assert result.code == 2, result.output
    assert "nterrupted" in result.output
    assert "Traceback" not in result.output


def test_the_run_after_a_killed_one_works_and_clears_what_was_left(
    runner: CommandRunner, command: tuple[str, ...]
) -> None:
    process = runner.start(*command)
    wait_until(lambda: len(runner.processes()) >= 5, process)
    process.kill()
    process.communicate()
    assert runner.processes()
    result = runner.run(*command)
    assert result.code == 0, result.output
    runner.assert_no_leftovers()


def test_runs_side_by_side_do_not_meet(runner: CommandRunner, command: tuple[str, ...]) -> None:
    processes = [runner.start(*command, "--report", f"report-{number}") for number in range(3)]
    for result in map(wait_for_end, processes):
        assert result.code == 0, result.output
    runner.assert_no_leftovers()


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd"])
def test_a_server_that_does_not_start_is_69_with_its_last_lines(
    pilot_discovery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for other in ("kube-apiserver", "etcd"):
        (assets / other).symlink_to(Path(os.environ["KUBEBUILDER_ASSETS"]) / other)
    (assets / name).unlink()
    (assets / name).write_text("#!/bin/sh\necho no room for me; exit 7\n")
    (assets / name).chmod(0o700)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    options = ["test", "--mesh", "istiod", "--istiod", pilot_discovery]
    run = run_command(*options, *RULES, folder=tmp_path)
    assert run.code == 69, run.output
    text = " ".join(run.output.split())
    assert f"{name} ended with exit code 7; last lines of its log: no room for me" in text


@pytest.mark.parametrize("place", [0, 2, 3], ids=["etcd", "kube-apiserver", "istiod"])
def test_a_port_that_is_taken_is_named_by_the_program_that_wants_it(
    pilot_discovery: str, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    name = {0: "etcd", 2: "kube-apiserver", 3: "istiod"}[place]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        ports = find_free_ports(8)
        ports[place] = holder.getsockname()[1]
        monkeypatch.setattr(control_plane, "find_free_ports", lambda count: ports)
        with (
            pytest.raises(
                ProcessEnded, match=rf"^{name} ended .*\n(.*\n)*.*address already in use"
            ),
            IstiodMesh.opened(Options(istiod=pilot_discovery)),
        ):
            pytest.fail("a mesh without its port")


def test_an_istiod_that_dies_while_rules_are_asked_is_named(
    pilot_discovery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plugin = ["-p", "tests.mesh.istiod.killed_istiod"]
    options = ["test", "--mesh", "istiod", "--istiod", pilot_discovery]
    run = run_command(*options, *plugin, *RULES, folder=tmp_path)
    assert run.code == 69, run.output
    text = " ".join(run.output.split())
    assert "istiod was ended by signal 9 (Killed); last lines of its log:" in text
    assert Outcome.PASSED not in {result.outcome for result in run.all_results}, run.output


def test_a_version_that_is_not_there_is_69(
    pilot_discovery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    run = run_command(*("test", "--mesh", "istiod", "--istiod", "9.99.9"), *RULES, folder=tmp_path)
    assert run.code == 69, run.output
    assert "istiod 9.99.9: none of docker, podman" in " ".join(run.output.split())
