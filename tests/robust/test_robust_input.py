"""Bad input: a message with the place and the last log lines, an exit code, nothing left."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robust.real_runs import MESHPROOF, SUITES, Place

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
#: The way by which a user brings apps today.
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
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match:
    - headers:
        cookie:
          regex: "(?!a).*"
    route: [{destination: {host: shop}}]
"""


def changed(old: str, new: str) -> str:
    assert old in APPS
    return APPS.replace(old, new)


# apps.yaml -> exit code, what the message says
MANIFESTS = {
    "unreadable": (
        changed("containers:", "containers: ["),
        65,
        r"apps\.yaml:15:7: not readable as YAML: ",
    ),
    "no stand-in": (
        changed("meshproof/echo:1", "istio/examples-bookinfo-review-v1"),
        65,
        r"apps\.yaml:16: shop: no stand-in for image .* 'istio/examples-bookinfo-reviews-v1'",
    ),
    "dies at start": (
        changed("GREETING, value: hello", "PYTHONHOME, value: /nowhere"),
        69,
        r"shop-0 \(apps\.yaml:16\) ended with exit code 1; last lines of its log:.*"
        r"ModuleNotFoundError: No module named 'encodings'",
    ),
    "cannot be started": (
        changed("GREETING", '"A=B"'),
        69,
        r"apps\.yaml:16: shop-0: cannot run .*: illegal environment variable name",
    ),
    "never listens": (
        changed("meshproof/echo:1", "shop/silent"),
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


def joined(text: str) -> str:
    """The console wraps lines; a message is to be found whatever its width."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_cannot_be_stood_up(place: Place, name: str) -> None:
    text, code, words = MANIFESTS[name]
    (place.folder / "conftest.py").write_text(CONFTEST)
    (place.folder / "apps.yaml").write_text(text)
    # Named by --pyargs, the promises have this folder's conftest.py, and so its apps.
    ended = place.run(*MESHPROOF, "test", "--pyargs", "meshproof.suites", "-k", "rotation")
    place.assert_nothing_left()
    assert re.search(words, joined(ended.said)), ended.said
    assert ended.code == code, ended.said
    assert "Traceback" not in ended.said
    assert ended.said.splitlines()[-1].startswith("Mesh not ready: 1 of 1 promise")


def test_plain_pytest_says_it_once_and_without_a_traceback(place: Place) -> None:
    text, _, words = MANIFESTS["dies at start"]
    (place.folder / "conftest.py").write_text(CONFTEST)
    (place.folder / "apps.yaml").write_text(text)
    # Where CI is set, the summary of pytest repeats each message in full.
    ended = place.run(*SUITES, "-k", "rotation or productpage or split", CI="")
    place.assert_nothing_left()
    assert ended.code == 1
    assert len(re.findall(words, joined(ended.said))) == 1, ended.said
    assert "Traceback" not in ended.said
    assert "def mesh(" not in ended.said
    assert ended.said.count("(see test_productpage.py::test_every_page_is_complete)") == 3


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def script(place: Place, text: str, mode: int) -> str:
    path = place.folder / "envoy"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def commands(envoy: str) -> list[tuple[str, ...]]:
    up = (*MESHPROOF, "mesh", "up", "--envoy", envoy)
    return [(*MESHPROOF, "test", "-k", "rotation", "--mesh-envoy", envoy), up]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        pytest.param("", 0o644, r"Envoy at \S+/envoy is not executable: ", id="not executable"),
        pytest.param(
            "#!/bin/sh\necho no such GLIBC\nexit 3\n",
            0o755,
            r"\S+\.envoy ended with exit code 3; last lines of its log: no such GLIBC",
            id="does not start",
        ),
        pytest.param("\0", 0o755, r"\.envoy: cannot run \S+/envoy: ", id="no program"),
    ],
)
def test_an_envoy_that_cannot_be_run(place: Place, text: str, mode: int, words: str) -> None:
    for command in commands(script(place, text, mode)):
        ended = place.run(*command)
        place.assert_nothing_left()
        assert re.search(words, joined(ended.said)), ended.said
        assert ended.code == 69
        assert "Traceback" not in ended.said


def test_an_envoy_that_is_not_there(place: Place) -> None:
    for command in commands("/nowhere/envoy"):
        ended = place.run(*command)
        place.assert_nothing_left()
        assert "Envoy not found at /nowhere/envoy: " in ended.said
        assert ended.code == 69


def test_a_port_that_is_taken_is_named_with_who_holds_it(place: Place, taken: int) -> None:
    test = (*MESHPROOF, "test", "-k", "rotation", f"--mesh-port={taken}")
    for command in (test, (*MESHPROOF, "mesh", "up", f"--port={taken}")):
        ended = place.run(*command)
        place.assert_nothing_left()
        holder = rf"port {taken} is taken by \S+ \(pid {os.getpid()}: "
        assert re.search(holder, joined(ended.said)), ended.said
        assert ended.code == 69
        assert "Traceback" not in ended.said


def test_files_in_the_users_folder_do_not_stand_in_for_modules(place: Place) -> None:
    for name in ("socket.py", "json.py", "signal.py"):
        Path(place.folder / name).write_text("raise SystemExit('the wrong module')\n")
    ended = place.run("meshproof", "mesh", "up", PATH=f"{Path(MESHPROOF[0]).parent}")
    assert ended.code == 0, ended.said
    assert place.run("meshproof", "mesh", "down", PATH=f"{Path(MESHPROOF[0]).parent}").code == 0
    place.assert_nothing_left()
