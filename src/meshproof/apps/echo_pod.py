"""An echo workload of a cluster's sandbox: its response says who it is and what arrived.

    python3 echo_pod.py NAME [PORT]

One file and the standard library: it runs from a ConfigMap on any Python image. The names of the
headers are those of the local mesh's echo workloads (`meshproof.mesh.echo.listener`).
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: The headers by which a request asks for a delay (milliseconds), a failure (`503 x2`: at the
#: first two attempts; `gRPC 14 x1`) or a response header (`x-meshproof-answers-NAME`).
DELAY_HEADER = "x-envoy-fault-delay-request"
FAILURE_HEADER = "x-meshproof-fails"
RESPONSE_HEADER_PREFIX = "x-meshproof-answers-"
ATTEMPT_HEADER = "x-envoy-attempt-count"
SERVED_BY_HEADER = "x-served-by"
SEEN_PATH_HEADER = "x-seen-path"
SEEN_AUTHORITY_HEADER = "x-seen-authority"
SEEN_HEADER_PREFIX = "x-seen-header-"
#: Header of requests that may be mirrored; each of its values is counted.
MIRROR_HEADER = "x-meshproof-mirror"
#: The path of the kubelet's probe, and the path that returns these counts.
HEALTH_PATH = "/meshproof-health"
COPIES_PATH = "/meshproof-copies"
PORT = 8080
_MAX_DELAY_SECONDS = 120.0


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece
    disable_nagle_algorithm = True

    def _answer_request(self) -> None:
        """Answer any method and path: with a delay or a failure if the request asks for it."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        server: _Server = self.server  # type: ignore[assignment]
        if self.path == COPIES_PATH:
            self._send_answer(200, {}, json.dumps(server.read_copies()).encode())
            return
        server.count_copy(self.headers.get(MIRROR_HEADER))
        delay = self.headers.get(DELAY_HEADER, "")
        if delay.isdigit():
            time.sleep(min(int(delay) / 1000, _MAX_DELAY_SECONDS))
        kind, number = _parse_failure(
            self.headers.get(FAILURE_HEADER, ""), self.headers.get(ATTEMPT_HEADER, "1")
        )
        if number:
            failure_headers = {"grpc-status": number} if kind else {}
            self._send_answer(200 if kind else int(number), failure_headers, b"")
            return
        headers = {SERVED_BY_HEADER: server.name, SEEN_PATH_HEADER: self.path}
        headers[SEEN_AUTHORITY_HEADER] = self.headers.get("host", "")
        for header, value in self.headers.items():
            header = header.lower()
            if header.startswith(RESPONSE_HEADER_PREFIX):
                headers.setdefault(header[len(RESPONSE_HEADER_PREFIX) :], value)
            else:
                headers.setdefault(SEEN_HEADER_PREFIX + header, value)
        self._send_answer(200, headers, f"{server.name}\n".encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = (
        _answer_request
    )

    def _send_answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send a response; no body for HEAD."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line for each request."""


def _parse_failure(instruction: str, attempt: str) -> tuple[str, str]:
    """Return how an attempt must fail, as kind (`gRPC` or empty) and number; empty if not.

    `503 x2` fails the first two attempts.
    """
    failure, _, count = instruction.rpartition(" x")
    if not count.isdigit() or not attempt.isdigit() or int(attempt) > int(count):
        return "", ""
    kind, _, number = failure.rpartition(" ")
    return kind, number


class _Server(ThreadingHTTPServer):
    """The server of one echo workload, with the counts of mirrored copies."""

    request_queue_size = 128

    def __init__(self, name: str, port: int, host: str) -> None:
        super().__init__((host, port), _Handler)
        self.name = name
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count_copy(self, value: str | None) -> None:
        """Count a request that has a value of MIRROR_HEADER, before it is answered."""
        if value is not None:
            with self._lock:
                self._counts[value] += 1

    def read_copies(self) -> dict[str, int]:
        """Return how often each value has come since the start."""
        with self._lock:
            return dict(self._counts)


def make_server(name: str, port: int, host: str = "") -> ThreadingHTTPServer:
    """Return the server of an echo workload; `port` 0: a free one, no `host`: all addresses."""
    return _Server(name, port, host)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        make_server(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else PORT).serve_forever()
