"""The probe's script, as it runs in a pod: batches in, every answer in send order."""

from __future__ import annotations

import base64
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from meshproof.apps import probe


class Site(ThreadingHTTPServer):
    """Answers with its path and headers; hangs up on /silent, answers /slow never."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0
        self.release = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.close_connection = True
            return
        if self.path == "/slow":
            self.server.release.wait(5)
        body = json.dumps([self.path, dict(self.headers.items())]).encode()
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.release.set()
        server.shutdown()


@pytest.fixture
def prober() -> Iterator[str]:
    with probe.make_server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def request(path: str, *headers: tuple[str, str], **options: Any) -> dict[str, Any]:
    return {"method": "GET", "path": path, "headers": headers, "seconds": 2, **options}


def batch(
    site: Site, *requests: dict[str, Any], workers: int = 4, **options: Any
) -> dict[str, Any]:
    address = {"host": "127.0.0.1", "port": site.server_address[1]}
    return {**address, "workers": workers, "keep_alive": True, "requests": requests, **options}


def sent(prober: str, batch: dict[str, Any]) -> list[dict[str, Any]]:
    with urllib.request.urlopen(prober, json.dumps(batch).encode()) as response:
        answers: list[dict[str, Any]] = json.load(response)
        return answers


def echoed(answer: dict[str, Any]) -> tuple[str, dict[str, str]]:
    path, headers = json.loads(base64.b64decode(answer["body"]))
    return path, {name.lower(): value for name, value in headers.items()}


def test_answers_come_in_send_order_with_status_and_headers(site: Site, prober: str) -> None:
    paths = [f"/{number}" for number in range(19)] + ["/teapot"]
    answers = sent(prober, batch(site, *(request(path) for path in paths)))
    assert [echoed(answer)[0] for answer in answers] == paths
    assert [answer["status"] for answer in answers] == [200] * 19 + [418]
    assert [pair for pair in answers[0]["headers"] if pair[0] == "Set-Cookie"] == [
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
    ]
    assert all(answer["seconds"] >= 0 for answer in answers)


def test_headers_are_sent_as_given(site: Site, prober: str) -> None:
    plain, custom, suppressed = sent(
        prober,
        batch(
            site,
            request("/"),
            request("/", ("Host", "shop.test"), ("User-Agent", "me"), ("x-meshproof-run", "7")),
            request("/", without=["User-Agent", "accept-encoding"]),
        ),
    )
    assert echoed(plain)[1]["host"] == f"127.0.0.1:{site.server_address[1]}"
    assert echoed(plain)[1]["user-agent"] == "meshproof-probe"
    assert echoed(custom)[1] == {
        "host": "shop.test",
        "user-agent": "me",
        "x-meshproof-run": "7",
        "accept-encoding": "identity",
    }
    assert set(echoed(suppressed)[1]) == {"host"}


def test_connections_are_kept_if_asked_for(site: Site, prober: str) -> None:
    for _ in range(3):
        sent(prober, batch(site, *[request("/")] * 5, workers=1))
    assert site.connections == 1
    sent(prober, batch(site, *[request("/")] * 5, workers=1, keep_alive=False))
    assert site.connections == 6


def test_what_gets_no_answer_is_told_apart(site: Site, prober: str) -> None:
    ended, late = sent(prober, batch(site, request("/silent"), request("/slow", seconds=0.2)))
    assert (ended["lost"], late["lost"]) == ("ended", "late")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (refused,) = sent(prober, {**batch(site, request("/")), "port": port})
    assert refused["lost"] == "refused"
    (unknown,) = sent(prober, {**batch(site, request("/")), "host": "nobody.invalid"})
    assert unknown["lost"] == "unknown host"
    assert unknown["why"]


def test_a_batch_that_cannot_be_read_is_answered_so(prober: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400") as error:
        sent(prober, {"host": "127.0.0.1"})
    assert "KeyError" in error.value.read().decode()
    error.value.close()


def test_it_shows_one_request_as_curl_does(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{site.server_address[1]}/teapot?x=1"
    assert probe.run_command_line(["-i", "-H", "Cookie: user=burr", "-H", "User-Agent:", url]) == 0
    head, _, body = capsys.readouterr().out.partition("\n\n")
    assert head.startswith("HTTP/1.1 200\n")
    path, headers = json.loads(body)
    assert (path, headers["Cookie"], "User-Agent" in headers) == (
        "/teapot?x=1",
        "user=burr",
        False,
    )
    assert probe.run_command_line([url.replace("/teapot?x=1", "/silent")]) == 1
    assert capsys.readouterr().err.startswith("ended: ")
