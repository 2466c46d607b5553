"""Starts the stand-ins as the mesh does, and an upstream that records what it is asked."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from meshproof.apps.http1 import BadMessage, Headers, Reader

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Answer:
    def __init__(self, status: int, headers: Headers, text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text


class App:
    """One stand-in in a process of its own, on a free port of 127.0.0.1."""

    def __init__(self, *args: str, **env: str) -> None:
        clean = {k: v for k, v in os.environ.items() if "PROXY" not in k.upper()}
        self.process = subprocess.Popen(
            [sys.executable, *args],
            env={**clean, "HOST": "127.0.0.1", "PORT": "0", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        port = self.line.rpartition(":")[2].strip()
        self.port = int(port) if port else 0

    def ask(
        self, path: str, headers: Headers | None = None, *, method: str = "GET", body: str = ""
    ) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            client.request(method, path, body or None, headers or {})
            response = client.getresponse()
            received_headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received_headers, response.read().decode())
        finally:
            client.close()

    def stop(self) -> tuple[int, str, str]:
        """SIGTERM; return exit code, the rest of standard output, and standard error."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=5)
        return self.process.returncode, out, err


class Recorder:
    """An upstream, or a proxy: notes each request as (start line, headers, connection number)."""

    def __init__(self, reply: Callable[[int], bytes]) -> None:
        self.asked: list[tuple[str, Headers, int]] = []
        self.reply = reply
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        number = 0
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                number += 1
                threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        reader = Reader(sock)
        with sock, suppress(OSError, BadMessage):
            while head := reader.read_head():
                self.asked.append((*head, number))
                answer = self.reply(len(self.asked))
                sock.sendall(answer)
                if not answer or b"connection: hang-up" in answer:
                    return  # as an upstream does that drops an idle connection unannounced


Start = Callable[..., App]
Record = Callable[..., Recorder]


@pytest.fixture
def launch() -> Iterator[Start]:
    """Run `python *ARGS` as an app with extra environment; all end with the test."""
    apps: list[App] = []

    def begin(*args: str, **env: str) -> App:
        apps.append(App(*args, **env))
        return apps[-1]

    yield begin
    for app in apps:
        app.stop()


@pytest.fixture
def start(launch: Start) -> Start:
    """Run the stand-in `meshproof.apps.MODULE ROLE` with extra environment."""

    def begin(module: str, *role: str, **env: str) -> App:
        return launch("-m", f"meshproof.apps.{module}", *role, **env)

    return begin


@pytest.fixture
def record() -> Iterator[Record]:
    """Start an upstream that answers `reply(n)` to its n-th request."""
    recorders: list[Recorder] = []

    def begin(reply: Callable[[int], bytes] = lambda n: OK) -> Recorder:
        recorders.append(Recorder(reply))
        return recorders[-1]

    yield begin
    for recorder in recorders:
        recorder.listener.close()


@pytest.fixture
def at() -> Callable[..., dict[str, str]]:
    """Return the environment that leads to services: `at(reviews=PORT)`."""

    def environment(**ports: int) -> dict[str, str]:
        env: dict[str, str] = {}
        for name, port in ports.items():
            env[f"{name.upper()}_HOSTNAME"] = "127.0.0.1"
            env[f"{name.upper()}_SERVICE_PORT"] = str(port)
        return env

    return environment


@pytest.fixture
def nowhere() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
