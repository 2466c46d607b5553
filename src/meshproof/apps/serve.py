"""A small HTTP/1.1 server: one process for each workload, one thread for each connection.

The mesh sets HOST, PORT (0: a free one), HOSTNAME (the pod) and SERVICE_VERSION. It reads one line
of standard output, `listening on HOST:PORT`. ACCESS_LOG=1 adds one line for each request. SIGTERM
and SIGINT end the process at once with exit code 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping

from meshproof.apps.calls import select_forwarded_headers
from meshproof.apps.http1 import BadMessage, Headers, Reader

JSON = "application/json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

_REASONS = {
    200: "OK",
    201: "Created",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Request:
    """One request: method, path (still percent-encoded), query, headers, cookies and body."""

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, target: str, headers: Headers, body: bytes) -> None:
        if target.startswith("http://"):  # absolute form, RFC 9112, 3.2.2
            target = "/" + target[7:].partition("/")[2]
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body

    @property
    def path_parts(self) -> list[str]:
        """The path's parts, for `match`: `/reviews/0` is `["reviews", "0"]`, `/` is `[]`."""
        return [part for part in self.path.split("/") if part]

    @property
    def forwarded_headers(self) -> Headers:
        """The headers that every request to another service carries."""
        return select_forwarded_headers(self.headers)

    def cookie(self, name: str) -> str:
        """Return the value of the first cookie of this name, or an empty string."""
        for pair in self.headers.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""


class Response:
    """One response; `headers` are added to content-type, content-length and x-served-by."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: str | bytes,
        *,
        status: int = 200,
        content_type: str = TEXT,
        headers: Headers | None = None,
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.content_type = content_type
        self.headers = headers or {}


Handler = Callable[[Request], Response]


def make_json_response(content: object, status: int = 200) -> Response:
    """Return `content` as a JSON response."""
    return Response(json.dumps(content), status=status, content_type=JSON)


def make_not_found(request: Request) -> Response:
    """Return the 404 for an unknown path."""
    return make_json_response({"error": f"no such path: {request.path}"}, 404)


def make_not_allowed(request: Request, allowed: str) -> Response:
    """Return the 405 for a path that does not take this method."""
    response = make_json_response({"error": f"{request.method} is not allowed, {allowed} is"}, 405)
    response.headers["allow"] = allowed
    return response


def read_pod_name() -> str:
    """Return the name of this pod."""
    return os.environ.get("HOSTNAME") or socket.gethostname()


def read_version() -> str:
    """Return the version of this build; an empty string if the mesh has not set it."""
    return os.environ.get("SERVICE_VERSION", "")


def run_role(roles: Mapping[str, tuple[Handler, int]], argv: list[str]) -> None:
    """Run the role named on the command line; `roles` gives each its handler and usual port."""
    if len(argv) != 1 or argv[0] not in roles:
        sys.stderr.write(f"usage: one role of {', '.join(roles)}, not {' '.join(argv)!r}\n")
        raise SystemExit(64)
    handler, port = roles[argv[0]]
    run_server(handler, default_port=port)


def run_server(handler: Handler, *, default_port: int, health: bool = True) -> None:
    """Serve until SIGTERM or SIGINT. With `health`, this module answers GET /health.

    If the port cannot be used, ends the process with one line on standard error and exit code 1.
    """
    host = os.environ.get("HOST") or "0.0.0.0"  # nosec B104: in a pod; a local mesh sets HOST
    port = os.environ.get("PORT") or str(default_port)
    end_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(
        signal.SIG_BLOCK, end_signals
    )  # for every thread; sigwait below takes them
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, int(port)), family=family, backlog=512)
    except (OSError, ValueError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else error
        sys.stderr.write(f"cannot listen on {host}:{port}: {reason}\n")
        raise SystemExit(1) from None
    sys.stdout.write(f"listening on {host}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server = _Server(handler, health=health)
    threading.Thread(target=server.accept_connections, args=(listener,), daemon=True).start()
    signal.sigwait(end_signals)
    os._exit(0)


class _Server:
    """Serves a handler to connections."""

    def __init__(self, handler: Handler, *, health: bool) -> None:
        self.handler = handler
        self.health = health
        self.logs_requests = os.environ.get("ACCESS_LOG") == "1"
        served_by = f"x-served-by: {read_pod_name()}\r\n"
        self.identity_headers = served_by + (
            f"x-served-version: {read_version()}\r\n" if read_version() else ""
        )

    def accept_connections(self, listener: socket.socket) -> None:
        """Accept connections for ever, each in a thread of its own."""
        while True:
            try:
                sock, _ = listener.accept()
            except OSError as error:  # no file handles left: those in use will come back
                sys.stderr.write(f"cannot accept a connection: {error.strerror}\n")
                time.sleep(0.05)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve_connection, args=(sock,), daemon=True).start()

    def serve_connection(self, sock: socket.socket) -> None:
        """Answer the requests of one connection until it ends."""
        reader = Reader(sock)
        with sock:
            try:
                while self.answer_request(sock, reader):
                    pass
            except BadMessage as error:
                _send_quietly(
                    sock,
                    self.format_response(
                        make_json_response({"error": str(error)}, 400), close=True
                    ),
                )
            except OSError:
                pass  # the client has gone

    def answer_request(self, sock: socket.socket, reader: Reader) -> bool:
        """Answer one request; say whether the connection stays open."""
        head = reader.read_head()
        if head is None:
            return False
        started = time.perf_counter()
        line, headers = head
        method, target, protocol = _parse_request_line(line)
        if headers.get("expect", "").lower() == "100-continue":
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Request(method, target, headers, reader.read_body(headers))
        response = self.call_handler(request)
        option = headers.get("connection", "").lower()
        close = option == "close" or (protocol == "HTTP/1.0" and option != "keep-alive")
        if self.logs_requests:
            milliseconds = (time.perf_counter() - started) * 1000
            sys.stdout.write(f"{method} {target} {response.status} {milliseconds:.1f}ms\n")
            sys.stdout.flush()
        sock.sendall(self.format_response(response, close=close, bodiless=method == "HEAD"))
        return not close

    def call_handler(self, request: Request) -> Response:
        """Return the handler's response; 500 if it raises."""
        if self.health and request.path == "/health":
            return make_json_response({"status": f"{read_pod_name()} is healthy"})
        try:
            return self.handler(request)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"{request.method} {request.path} failed: {message}\n")
            sys.stderr.flush()
            return make_json_response({"error": message}, 500)

    def format_response(self, response: Response, *, close: bool, bodiless: bool = False) -> bytes:
        """Return a response as bytes; `bodiless` for HEAD."""
        status = response.status
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n"
            f"content-type: {response.content_type}\r\n"
            f"content-length: {len(response.body)}\r\n"
            f"{self.identity_headers}"
        )
        for name, value in response.headers.items():
            head += f"{name}: {value}\r\n"
        head += "connection: close\r\n\r\n" if close else "\r\n"
        return head.encode("latin-1", "replace") + (b"" if bodiless else response.body)


def _parse_request_line(line: str) -> tuple[str, str, str]:
    """Return method, target and protocol of a request line."""
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadMessage(f"malformed request line {line[:80]!r}")
    return parts[0], parts[1], parts[2]


def _send_quietly(sock: socket.socket, message: bytes) -> None:
    """Send a message; ignore a client that has disconnected."""
    with contextlib.suppress(OSError):
        sock.sendall(message)
