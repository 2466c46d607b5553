"""`meshproof mesh up`, `status` and `down`: their messages, exit codes and leftovers."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy import admin
from meshproof.mesh.local.renewal import renew_certificates
from tests.robust.real_runs import MESHPROOF, CommandResult, CommandRunner

NO_MESH = CommandResult(69, "No mesh was left running.\n")


def run_mesh_command(runner: CommandRunner, *arguments: str) -> CommandResult:
    return runner.run(*MESHPROOF, "mesh", *arguments)


def read_kept_meshes(runner: CommandRunner) -> list[dict[str, Any]]:
    meshes: list[dict[str, Any]] = json.loads(
        run_mesh_command(runner, "status", "-o", "json").output
    )
    return meshes


def find_url(result: CommandResult) -> str:
    match = re.search(r"http://127\.0\.0\.1:\d+", result.output)
    assert match, result.output
    return match[0]


def fetch_page(address: str) -> str:
    with urllib.request.urlopen(f"{address}/productpage", timeout=10) as response:
        return str(response.read().decode())


def test_up_status_down(runner: CommandRunner) -> None:
    assert run_mesh_command(runner, "status") == NO_MESH
    assert run_mesh_command(runner, "down") == CommandResult(0, "No mesh was up.\n")
    up = run_mesh_command(runner, "up")
    assert up.code == 0, up.output
    assert "Book" in fetch_page(find_url(up))
    second_up = run_mesh_command(runner, "up")
    assert second_up == CommandResult(0, up.output.replace("is up:", "is up already:"))
    status = run_mesh_command(runner, "status")
    assert status.code == 0
    first_line = f"The local mesh at {find_url(up)} is up: 9 pods, 19 processes, mTLS permissive."
    assert status.output.splitlines()[0] == first_line
    assert [live_mesh["url"] for live_mesh in read_kept_meshes(runner)] == [find_url(up)]
    assert run_mesh_command(runner, "down") == CommandResult(0, "Ended 1 mesh.\n")
    assert run_mesh_command(runner, "status") == NO_MESH
    runner.assert_no_leftovers()


def test_another_mesh_beside_it_and_its_port(runner: CommandRunner) -> None:
    first_url = find_url(run_mesh_command(runner, "up"))
    port = first_url.rpartition(":")[2]
    refused = run_mesh_command(runner, "up", "--mtls", "strict", "--port", port)
    assert refused.code == 69
    assert f"port {port} is taken by envoy" in refused.output
    assert "`meshproof mesh status` tells which" in refused.output
    strict = run_mesh_command(runner, "up", "--mtls", "strict")
    assert strict.code == 0, strict.output
    assert find_url(strict) != first_url
    assert [fetch_page(live_mesh["url"]) != "" for live_mesh in read_kept_meshes(runner)] == [
        True,
        True,
    ]
    assert run_mesh_command(runner, "down").output == "Ended 2 meshes.\n"
    runner.assert_no_leftovers()


def kill_processes(runner: CommandRunner, pids: set[int]) -> None:
    for process in runner.processes():
        if process.pid in pids:
            process.kill()
    while pids & {process.pid for process in runner.processes()}:
        time.sleep(0.01)


def test_status_names_what_has_ended(runner: CommandRunner) -> None:
    assert run_mesh_command(runner, "up").code == 0
    (live_mesh,) = read_kept_meshes(runner)
    victims = {live_mesh["processes"][name] for name in ("ratings-v1-0", "reviews-v3-0.envoy")}
    kill_processes(runner, victims)
    status = run_mesh_command(runner, "status")
    assert status.code == 69
    message = (
        f"The local mesh at {live_mesh['url']} is broken: reviews-v3-0.envoy, ratings-v1-0 have"
    )
    assert status.output.startswith(message)
    assert (
        f"Last lines of {live_mesh['folder']}/ratings-v1-0.log:\n    listening on " in status.output
    )
    assert read_kept_meshes(runner)[0]["ended"] == ["reviews-v3-0.envoy", "ratings-v1-0"]
    kill_processes(runner, set(live_mesh["processes"].values()))
    assert "has ended: none of its processes runs." in run_mesh_command(runner, "status").output
    up = run_mesh_command(runner, "up")  # clears the one that has ended
    assert [entry["url"] for entry in read_kept_meshes(runner)] == [find_url(up)]
    assert run_mesh_command(runner, "down").output == "Ended 1 mesh.\n"
    runner.assert_no_leftovers()


def test_what_another_version_has_kept_is_ended_too(runner: CommandRunner) -> None:
    assert run_mesh_command(runner, "up").code == 0
    (runner.find_run_folders()[0] / "kept").write_text("not JSON")
    assert run_mesh_command(runner, "status").code == 69
    assert run_mesh_command(runner, "down").output == "Ended 1 mesh.\n"
    runner.assert_no_leftovers()


def test_status_asks_a_request(runner: CommandRunner) -> None:
    assert run_mesh_command(runner, "up").code == 0
    (live_mesh,) = read_kept_meshes(runner)
    pid = live_mesh["processes"]["istio-ingressgateway.envoy"]
    os.kill(pid, signal.SIGSTOP)  # it runs, and answers nothing
    status = run_mesh_command(runner, "status")
    os.kill(pid, signal.SIGCONT)
    assert status.code == 69
    assert "is broken: its processes run, but /productpage is not answered: " in status.output
    assert run_mesh_command(runner, "status").code == 0
    assert run_mesh_command(runner, "down").output == "Ended 1 mesh.\n"
    runner.assert_no_leftovers()


def read_serials(run: Path, envoy: str) -> set[str]:
    certificates = json.loads(admin.ask(run / admin.name_socket(envoy), "/certs"))["certificates"]
    return {
        chain["serial_number"] for entry in certificates for chain in entry.get("cert_chain", [])
    }


def test_certificates_are_renewed_while_the_mesh_answers(runner: CommandRunner) -> None:
    up = run_mesh_command(runner, "up", "--mtls", "strict")
    (live_mesh,) = read_kept_meshes(runner)
    run = Path(live_mesh["folder"])
    envoy = "reviews-v3-0"
    old = read_serials(run, envoy)
    assert old
    until = datetime.datetime.fromisoformat(live_mesh["certificates_until"])
    assert f"hold until {until:%Y-%m-%d}" in run_mesh_command(runner, "status").output
    in_time = until.replace(tzinfo=datetime.UTC) - datetime.timedelta(days=20)
    assert renew_certificates(run, in_time) is not None
    wait_for(
        lambda: (bool(new := read_serials(run, envoy)) and not new & old) or None,
        60,
        lambda: f"still served: {old}",
    )
    assert "Book" in fetch_page(find_url(up))
    assert run_mesh_command(runner, "status").code == 0
    assert run_mesh_command(runner, "down").output == "Ended 1 mesh.\n"
    runner.assert_no_leftovers()
