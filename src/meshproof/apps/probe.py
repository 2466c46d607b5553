"""A probe: sends batches of requests from where it runs and tells every answer, in send order.

    python3 probe.py serve PORT                          take batches, on loopback alone
    python3 probe.py [-X METHOD] [-H 'NAME: VALUE'] URL  send one request, show it as `curl -i` does

One file and the standard library: it runs from a ConfigMap on any Python image.

`POST /` takes {"host", "port", "workers", "keep_alive", "requests": [{"method", "path",
"headers": [[name, value]], "without": [name], "seconds"}]} and answers a list with one entry for
each request, in the order given: {"status", "headers": [[name, value]], "body" (base64),
"seconds"}, or {"lost": kind, "why"} for one that got no answer. It may have a {"line", "number"},
too: the last batch of a line, asked for again, is not sent again, and has the same answer.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import select
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: Headers that are sent unless a request has its own or is to be without.
AUTOMATIC = (("user-agent", "meshproof-probe"), ("accept-encoding", "identity"))

Place = tuple[str, int]


class Connections:
    """Connections that are kept between batches, by host and port."""

    def __init__(self) -> None:
        self._idle: dict[Place, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def take(self, place: Place) -> http.client.HTTPConnection:
        """Return a kept connection that the other end has not closed, or one to be opened."""
        while True:
            with self._lock:
                idle = self._idle.get(place)
                kept = idle.pop() if idle else None
            if kept is None:
                return http.client.HTTPConnection(*place)
            if kept.sock is not None and not select.select([kept.sock], [], [], 0)[0]:
                return kept
            kept.close()

    def give_back(self, place: Place, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            self._idle.setdefault(place, []).append(connection)


def ask(
    place: Place, request: dict[str, Any], connections: Connections, keep_alive: bool
) -> dict[str, Any]:
    """Send one request; return its answer, or what became of it."""
    connection = connections.take(place) if keep_alive else http.client.HTTPConnection(*place)
    began = time.monotonic()
    try:
        answer = _exchange(connection, request, keep_alive)
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return {"lost": _kind(error), "why": str(error) or type(error).__name__}
    if keep_alive and connection.sock is not None:
        connections.give_back(place, connection)
    else:
        connection.close()
    return {
        "status": answer.status,
        "headers": answer.getheaders(),
        "body": base64.b64encode(body).decode(),
        "seconds": time.monotonic() - began,
    }


def _exchange(
    connection: http.client.HTTPConnection, request: dict[str, Any], keep_alive: bool
) -> http.client.HTTPResponse:
    connection.timeout = float(request["seconds"])
    if connection.sock is None:
        connection.connect()  # it sets TCP_NODELAY
    else:
        connection.sock.settimeout(connection.timeout)
    given = [(str(name), str(value)) for name, value in request["headers"]]
    if not keep_alive:
        given.append(("connection", "close"))
    names = {name.lower() for name, _ in given}
    absent = {str(name).lower() for name in request.get("without", ())}
    connection.putrequest(
        str(request["method"]),
        str(request["path"]),
        skip_host="host" in names,
        skip_accept_encoding=True,
    )
    more = [one for one in AUTOMATIC if one[0] not in names | absent]
    for name, value in [*given, *more]:
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _kind(error: BaseException) -> str:
    """Return in a word what became of a request without an answer."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    if isinstance(error, TimeoutError):
        return "late"
    if isinstance(error, (ConnectionError, http.client.HTTPException)):
        return "ended"
    return "unreachable"


def batch(asked: dict[str, Any], connections: Connections) -> list[dict[str, Any]]:
    """Send a batch, `workers` requests at a time; return what came of each, in send order."""
    place = str(asked["host"]), int(asked["port"])
    with ThreadPoolExecutor(int(asked["workers"])) as pool:
        return list(
            pool.map(
                lambda one: ask(place, one, connections, bool(asked["keep_alive"])),
                asked["requests"],
            )
        )


class Lines:
    """The last batch of each line: one whose answer was lost is asked for again, not sent again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Future[list[dict[str, Any]]]]] = {}
        self._lock = threading.Lock()

    def once(self, asked: dict[str, Any], connections: Connections) -> list[dict[str, Any]]:
        """Send a batch, unless that is done or under way; return its answers in both cases."""
        if "line" not in asked:
            return batch(asked, connections)
        line, number = str(asked["line"]), int(asked["number"])
        mine: tuple[int, Future[list[dict[str, Any]]]] = (number, Future())
        with self._lock:
            last = self._last.get(line)
            if last is None or last[0] != number:
                last = self._last[line] = mine
        if last is mine:
            try:
                last[1].set_result(batch(asked, connections))
            except Exception as error:  # each that asks is told
                last[1].set_exception(error)
        return last[1].result()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = Connections()
    lines = Lines()

    def do_GET(self) -> None:
        self._answer(200, {"ready": True})

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self._answer(200, self.lines.once(json.loads(text), self.connections))
        except (KeyError, TypeError, ValueError) as error:
            self._answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line for each batch."""


def server(port: int) -> ThreadingHTTPServer:
    """Return what takes batches, on loopback alone: only a port-forward reaches it."""
    return ThreadingHTTPServer(("127.0.0.1", port), _Handler)


def show(words: list[str]) -> int:
    """Send the one request that the words of a command line say; print its answer."""
    method, headers, url = "GET", [], ""
    rest = iter(words)
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(":")
            headers.append([name, value.strip()])
        elif word != "-i":
            url = word
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    absent = [name for name, value in headers if not value]
    request = {
        "method": method,
        "path": path,
        "headers": [header for header in headers if header[1]],
        "without": absent,
        "seconds": 10,
    }
    found = ask((parts.hostname or "", parts.port or 80), request, Connections(), False)
    if "lost" in found:
        sys.stderr.write(f"{found['lost']}: {found['why']}\n")
        return 1
    lines = [
        f"HTTP/1.1 {found['status']}",
        *(f"{name}: {value}" for name, value in found["headers"]),
    ]
    sys.stdout.write(
        "\n".join([*lines, "", base64.b64decode(found["body"]).decode(errors="replace")])
    )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with contextlib.suppress(KeyboardInterrupt):
            server(int(sys.argv[2])).serve_forever()
    else:
        sys.exit(show(sys.argv[1:]))
