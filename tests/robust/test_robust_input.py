"""Bad input: a message with file:line and the last log lines, an exit code, no leftovers."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robust.real_runs import MESHPROOF, SUITES, CommandRunner

APPS = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 9080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: meshproof/echo:1
        env: [{name: GREETING, value: hello}]
        ports: [{containerPort: 9080}]
"""
#: A user overrides the fixture `mesh_apps` to bring apps.
CONFTEST = """\
import pytest
from meshproof import apps
from meshproof.base import timeouts
from meshproof.documents import manifest

timeouts.APP_START = 1.0
sleeps = ("-n1", "-r1", "print('still thinking', flush=True); import time; time.sleep(99)")
apps.STANDINS["shop/silent"] = apps.StandIn("timeit", sleeps)

@pytest.fixture(scope="session")
def mesh_apps():
    return manifest.read(["apps.yaml"])
"""
ROUTES = """\
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: shop}
spec:
  destination: {name: shop}
  match:
    request:
      headers:
        cookie:
          regex: "(?!a).*"
"""


def replace_in_apps(old_text: str, new_text: str) -> str:
    assert old_text in APPS
    return APPS.replace(old_text, new_text)


# name -> apps.yaml, exit code, pattern of the message
MANIFESTS = {
    "unreadable": (
        replace_in_apps("containers:", "containers: ["),
        65,
        r"apps\.yaml:15:7: not readable as YAML: ",
    ),
    "no stand-in": (
        replace_in_apps("meshproof/echo:1", "istio/examples-bookinfo-review-v1"),
        65,
        r"apps\.yaml:16: shop: no stand-in for image .* 'istio/examples-bookinfo-reviews-v1'",
    ),
    "dies at start": (
        replace_in_apps("GREETING, value: hello", "PYTHONHOME, value: /nowhere"),
        69,
        r"shop-0 \(apps\.yaml:16\) ended with exit code 1; last lines of its log:.*"
        r"ModuleNotFoundError: No module named 'encodings'",
    ),
    "cannot be started": (
        replace_in_apps("GREETING", '"A=B"'),
        69,
        r"apps\.yaml:16: shop-0: cannot run .*: illegal environment variable name",
    ),
    "never listens": (
        replace_in_apps("meshproof/echo:1", "shop/silent"),
        69,
        r"shop-0 \(apps\.yaml:16\) has not said `listening on HOST:PORT` after 1 s; "
        r"last lines of its log:.*still thinking",
    ),
    "route rejected": (
        APPS + ROUTES,
        65,
        r"apps\.yaml:29: Envoy of shop-0 rejected the config: invalid perl operator: \(\?!",
    ),
    "no object": ("# nothing\n", 65, r"apps\.yaml: no Kubernetes objects found"),
}


def join_lines(text: str) -> str:
    """Undo the line wrapping of the console, so that a message is found at any width."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_cannot_be_stood_up(runner: CommandRunner, name: str) -> None:
    text, code, pattern = MANIFESTS[name]
    (runner.folder / "conftest.py").write_text(CONFTEST)
    (runner.folder / "apps.yaml").write_text(text)
    # With --pyargs the promises use the conftest.py of this folder, and so its apps.
    result = runner.run(*MESHPROOF, "test", "--pyargs", "meshproof.suites", "-k", "rotation")
    runner.assert_no_leftovers()
    assert re.search(pattern, join_lines(result.output)), result.output
    assert result.code == code, result.output
    assert "Traceback" not in result.output
    assert result.output.splitlines()[-1].startswith("Mesh not ready: 1 of 1 promise")


def test_plain_pytest_says_it_once_and_without_a_traceback(runner: CommandRunner) -> None:
    text, _, pattern = MANIFESTS["dies at start"]
    (runner.folder / "conftest.py").write_text(CONFTEST)
    (runner.folder / "apps.yaml").write_text(text)
    # Where CI is set, the summary of pytest repeats each message in full.
    result = runner.run(*SUITES, "-k", "rotation or productpage or split", CI="")
    runner.assert_no_leftovers()
    assert result.code == 1
    assert len(re.findall(pattern, join_lines(result.output))) == 1, result.output
    assert "Traceback" not in result.output
    assert "def mesh(" not in result.output
    assert result.output.count("(see test_productpage.py::test_every_page_is_complete)") == 3


@pytest.fixture
def occupied_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def write_envoy_script(runner: CommandRunner, text: str, mode: int) -> str:
    path = runner.folder / "envoy"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def list_envoy_commands(envoy: str) -> list[tuple[str, ...]]:
    mesh_up = (*MESHPROOF, "mesh", "up", "--envoy", envoy)
    return [(*MESHPROOF, "test", "-k", "rotation", "--mesh-envoy", envoy), mesh_up]


@pytest.mark.parametrize(
    ("text", "mode", "pattern"),
    [
        pytest.param("", 0o644, r"Envoy at \S+/envoy is not executable: ", id="not executable"),
        pytest.param(
            "#!/bin/sh\necho no such GLIBC\nexit 3\n",
            0o755,
            r"\S+\.envoy ended with exit code 3; last lines of its log: no such GLIBC",
            id="does not start",
        ),
        pytest.param("\0", 0o755, r"\.envoy: cannot run \S+/envoy ?: ", id="no program"),
    ],
)
def test_an_envoy_that_cannot_be_run(
    runner: CommandRunner, text: str, mode: int, pattern: str
) -> None:
    for command in list_envoy_commands(write_envoy_script(runner, text, mode)):
        result = runner.run(*command)
        runner.assert_no_leftovers()
        assert re.search(pattern, join_lines(result.output)), result.output
        assert result.code == 69
        assert "Traceback" not in result.output


def test_an_envoy_that_is_not_there(runner: CommandRunner) -> None:
    for command in list_envoy_commands("/nowhere/envoy"):
        result = runner.run(*command)
        runner.assert_no_leftovers()
        assert "Envoy not found at /nowhere/envoy: " in result.output
        assert result.code == 69


def test_a_port_that_is_taken_is_named_with_who_holds_it(
    runner: CommandRunner, occupied_port: int
) -> None:
    test_command = (*MESHPROOF, "test", "-k", "rotation", f"--mesh-port={occupied_port}")
    for command in (test_command, (*MESHPROOF, "mesh", "up", f"--port={occupied_port}")):
        result = runner.run(*command)
        runner.assert_no_leftovers()
        holder = rf"port {occupied_port} is taken by \S+ \(pid {os.getpid()}: "
        assert re.search(holder, join_lines(result.output)), result.output
        assert result.code == 69
        assert "Traceback" not in result.output


def test_files_in_the_users_folder_do_not_stand_in_for_modules(runner: CommandRunner) -> None:
    for name in ("socket.py", "json.py", "signal.py"):
        Path(runner.folder / name).write_text("raise SystemExit('the wrong module')\n")
    result = runner.run("meshproof", "mesh", "up", PATH=f"{Path(MESHPROOF[0]).parent}")
    assert result.code == 0, result.output
    assert runner.run("meshproof", "mesh", "down", PATH=f"{Path(MESHPROOF[0]).parent}").code == 0
    runner.assert_no_leftovers()
