"""A probe: it sends batches of requests from its place and returns all responses in order.

    python3 probe.py serve PORT                          take batches, on loopback alone
    python3 probe.py [-X METHOD] [-H 'NAME: VALUE'] URL  send one request, show it as `curl -i` does

One file and the standard library: it runs from a ConfigMap on any Python image.

`POST /` takes {"host", "port", "workers", "keep_alive", "requests": [{"method", "path", "headers":
[[name, value]], "without": [name], "seconds"}]}; with "tls" it sends them by TLS without a client
certificate. It answers a list with one entry for each request,
in the same order: {"status", "headers": [[name, value]], "body" (base64), "seconds"}, or {"lost":
kind, "why"} for a request without a response. A batch may also have {"line", "number"}. If the last
batch of a line is posted again, it is not sent again and has the same answer.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import select
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: Headers that are sent unless a request has its own or suppresses them.
AUTOMATIC_HEADERS = (("user-agent", "meshproof-probe"), ("accept-encoding", "identity"))

Address = tuple[str, int]
#: The protocols that a client's sidecar offers by TLS (istiod's clusters).
_MESH_PROTOCOLS = ("istio-http/1.1", "istio")


class Connections:
    """Idle connections between batches, by host and port."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def borrow(self, address: Address) -> http.client.HTTPConnection:
        """Return an idle connection that is still open, or a new one to be opened."""
        while True:
            with self._lock:
                idle = self._idle.get(address)
                connection = idle.pop() if idle else None
            if connection is None:
                return http.client.HTTPConnection(*address)
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def give_back(self, address: Address, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            self._idle.setdefault(address, []).append(connection)


def make_anonymous_tls() -> ssl.SSLContext:
    """Return the TLS of a client without a certificate, which takes any server's one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(_MESH_PROTOCOLS)
    return context


def send_request(
    address: Address,
    request: dict[str, Any],
    connections: Connections,
    keep_alive: bool,
    tls: bool = False,
) -> dict[str, Any]:
    """Send one request; return its response, or why there is none."""
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection(*address, context=make_anonymous_tls())
    elif keep_alive:
        connection = connections.borrow(address)
    else:
        connection = http.client.HTTPConnection(*address)
    began = time.monotonic()
    try:
        response = _send_and_receive(connection, request, keep_alive)
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return {"lost": _classify_error(error), "why": str(error) or type(error).__name__}
    if keep_alive and not tls and connection.sock is not None:
        connections.give_back(address, connection)
    else:
        connection.close()
    return {
        "status": response.status,
        "headers": response.getheaders(),
        "body": base64.b64encode(body).decode(),
        "seconds": time.monotonic() - began,
    }


def _send_and_receive(
    connection: http.client.HTTPConnection, request: dict[str, Any], keep_alive: bool
) -> http.client.HTTPResponse:
    """Send one request on a connection; return the response."""
    connection.timeout = float(request["seconds"])
    if connection.sock is None:
        connection.connect()  # it sets TCP_NODELAY
    else:
        connection.sock.settimeout(connection.timeout)
    headers = [(str(name), str(value)) for name, value in request["headers"]]
    if not keep_alive:
        headers.append(("connection", "close"))
    names = {name.lower() for name, _ in headers}
    suppressed = {str(name).lower() for name in request.get("without", ())}
    connection.putrequest(
        str(request["method"]),
        str(request["path"]),
        skip_host="host" in names,
        skip_accept_encoding=True,
    )
    automatic = [header for header in AUTOMATIC_HEADERS if header[0] not in names | suppressed]
    for name, value in [*headers, *automatic]:
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _classify_error(error: BaseException) -> str:
    """Return the kind of an error, in a word."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    if isinstance(error, TimeoutError):
        return "late"
    if isinstance(error, (ConnectionError, ssl.SSLError, http.client.HTTPException)):
        return "ended"
    return "unreachable"


def send_batch(batch: dict[str, Any], connections: Connections) -> list[dict[str, Any]]:
    """Send a batch, `workers` requests at a time; return the outcomes in send order."""
    address = str(batch["host"]), int(batch["port"])
    with ThreadPoolExecutor(int(batch["workers"])) as pool:
        return list(
            pool.map(
                lambda request: send_request(
                    address,
                    request,
                    connections,
                    bool(batch["keep_alive"]),
                    bool(batch.get("tls")),
                ),
                batch["requests"],
            )
        )


class BatchLines:
    """The last batch of each line. A client that has lost the answer gets it without a resend."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Future[list[dict[str, Any]]]]] = {}
        self._lock = threading.Lock()

    def send_once(self, batch: dict[str, Any], connections: Connections) -> list[dict[str, Any]]:
        """Send a batch, unless it was sent or is under way; return its outcomes in each case."""
        if "line" not in batch:
            return send_batch(batch, connections)
        line, number = str(batch["line"]), int(batch["number"])
        new_entry: tuple[int, Future[list[dict[str, Any]]]] = (number, Future())
        with self._lock:
            entry = self._last.get(line)
            if entry is None or entry[0] != number:
                entry = self._last[line] = new_entry
        if entry is new_entry:
            try:
                entry[1].set_result(send_batch(batch, connections))
            except Exception as error:  # each that asks is told
                entry[1].set_exception(error)
        return entry[1].result()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET with readiness and POST with the outcomes of a batch."""

    protocol_version = "HTTP/1.1"
    connections = Connections()
    batch_lines = BatchLines()

    def do_GET(self) -> None:
        """Answer the readiness probe."""
        self._send_json(200, {"ready": True})

    def do_POST(self) -> None:
        """Send the batch in the body; answer 400 if it is malformed."""
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self._send_json(200, self.batch_lines.send_once(json.loads(text), self.connections))
        except (KeyError, TypeError, ValueError) as error:
            self._send_json(400, {"error": f"{type(error).__name__}: {error}"})

    def _send_json(self, status: int, content: object) -> None:
        """Send a JSON response."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line for each batch."""


def make_server(port: int) -> ThreadingHTTPServer:
    """Return the server that takes batches, on loopback alone: only a port-forward reaches it."""
    return ThreadingHTTPServer(("127.0.0.1", port), _Handler)


def run_command_line(arguments: list[str]) -> int:
    """Send the one request that the arguments describe; print its response."""
    method, headers, url = "GET", [], ""
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "-X":
            method = next(remaining)
        elif argument == "-H":
            name, _, value = next(remaining).partition(":")
            headers.append([name, value.strip()])
        elif argument != "-i":
            url = argument
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    suppressed = [name for name, value in headers if not value]
    request = {
        "method": method,
        "path": path,
        "headers": [header for header in headers if header[1]],
        "without": suppressed,
        "seconds": 10,
    }
    result = send_request((parts.hostname or "", parts.port or 80), request, Connections(), False)
    if "lost" in result:
        sys.stderr.write(f"{result['lost']}: {result['why']}\n")
        return 1
    lines = [
        f"HTTP/1.1 {result['status']}",
        *(f"{name}: {value}" for name, value in result["headers"]),
    ]
    sys.stdout.write(
        "\n".join([*lines, "", base64.b64decode(result["body"]).decode(errors="replace")])
    )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with contextlib.suppress(KeyboardInterrupt):
            make_server(int(sys.argv[2])).serve_forever()
    else:
        sys.exit(run_command_line(sys.argv[1:]))
