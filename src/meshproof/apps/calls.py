"""Send requests to other services: pooled, through HTTP_PROXY if set, with forwarded headers."""

from __future__ import annotations

import os
import socket

from meshproof.apps.http1 import BadMessage, Headers, Reader

# Forwarded so that a trace stays one trace and a rule sees the same user at each hop:
# https://istio.io/latest/docs/tasks/observability/distributed-tracing/overview/
FORWARDED_HEADERS = {
    "authorization",
    "b3",
    "cookie",
    "end-user",
    "grpc-trace-bin",
    "jwt",
    "sw8",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-cloud-trace-context",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    "x-meshproof-run",
    "x-ot-span-context",
    "x-request-id",
}
TIMEOUT = 3.0

Address = tuple[str, int]


class CallFailed(Exception):
    """No usable response: refused, timed out, cut off or not HTTP."""


class _StaleConnection(Exception):
    """The connection ended before a byte of the response came."""


class Reply:
    """A response: status, headers (names in lower case) and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def select_forwarded_headers(headers: Headers) -> Headers:
    """Return the headers (names in lower case) of a request that each further call gets, too."""
    return {k: v for k, v in headers.items() if k in FORWARDED_HEADERS or k.startswith("x-b3-")}


def send_request(
    url: str,
    headers: Headers,
    *,
    method: str = "GET",
    body: bytes = b"",
    timeout: float = TIMEOUT,
) -> Reply:
    """Send one request (`http://HOST[:PORT]/PATH`); return the response of any status.

    If the other end has closed a pooled connection before any byte of the response, a new one is
    tried once. Raises CallFailed.
    """
    authority, _, path = url.removeprefix("http://").partition("/")
    proxy = os.environ.get("HTTP_PROXY", "")
    address = _parse_address(proxy.removeprefix("http://").rstrip("/") or authority)
    target = f"http://{authority}/{path}" if proxy else f"/{path}"
    lines = [f"{method} {target} HTTP/1.1", f"host: {authority}", "accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method not in ("GET", "HEAD"):
        lines.append(f"content-length: {len(body)}")
    message = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    try:
        return _exchange_pooled(address, message, method, timeout)
    except TimeoutError:
        raise CallFailed(f"{method} {url}: no answer within {timeout:g} s") from None
    except (OSError, BadMessage, _StaleConnection) as error:
        raise CallFailed(f"{method} {url}: {error}") from None


def _parse_address(authority: str) -> Address:
    """Return host and port of an authority; 80 without a port, or where it is no number."""
    host, _, port = authority.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() and host else (authority, 80)


# Idle connections by address. list.append and list.pop are atomic; no lock is needed.
_idle_connections: dict[Address, list[Reader]] = {}


def _exchange_pooled(address: Address, message: bytes, method: str, timeout: float) -> Reply:
    """Send a message on an idle connection, else on a new one; return the response."""
    idle = _idle_connections.setdefault(address, [])
    try:
        reader = idle.pop()
    except IndexError:
        reader = None
    if reader is not None:
        reader.sock.settimeout(timeout)
        try:
            return _exchange_on(reader, message, method, idle)
        except _StaleConnection:
            pass
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _exchange_on(Reader(sock), message, method, idle)


def _exchange_on(reader: Reader, message: bytes, method: str, idle: list[Reader]) -> Reply:
    """Send and receive on one connection; return it to the pool if it stays open."""
    try:
        reply = _exchange_message(reader, message, method)
    except BaseException:
        reader.sock.close()
        raise
    if "close" in reply.headers.get("connection", "").lower() or reader.buffer:
        reader.sock.close()
    else:
        idle.append(reader)
    return reply


def _exchange_message(reader: Reader, message: bytes, method: str) -> Reply:
    """Send a message and read its response; no body for HEAD, 204 and 304.

    The header `connection: close` is set if the peer keeps the connection no longer.
    Raises _StaleConnection if it was closed before a response, BadMessage for no HTTP response.
    """
    try:
        reader.sock.sendall(message)
        head = reader.read_head()
    except (BrokenPipeError, ConnectionResetError) as error:
        if reader.buffer:
            raise
        raise _StaleConnection(error.strerror) from None
    if head is None:
        raise _StaleConnection("connection closed without an answer")
    line, headers = head
    code = line[9:12]
    if not (line.startswith("HTTP/1.") and code.isdigit()):
        raise BadMessage(f"not an HTTP answer: {line[:80]!r}")
    status = int(code)
    if method == "HEAD" or status in (204, 304):
        return Reply(status, headers, b"")
    until_close = not ("content-length" in headers or "transfer-encoding" in headers)
    body = reader.read_body(headers, until_close=until_close)
    if until_close or (line.startswith("HTTP/1.0") and "connection" not in headers):
        headers["connection"] = "close"
    return Reply(status, headers, body)


def build_service_url(name: str, default_port: int) -> str:
    """Return the base URL of a service, from NAME_HOSTNAME, NAME_SERVICE_PORT, SERVICES_DOMAIN.

    The official images use these names; Kubernetes sets NAME_SERVICE_PORT by itself.
    """
    prefix = name.upper().replace("-", "_")
    host = os.environ.get(f"{prefix}_HOSTNAME") or name
    domain = os.environ.get("SERVICES_DOMAIN")
    port = os.environ.get(f"{prefix}_SERVICE_PORT") or str(default_port)
    return f"http://{host}{'.' + domain if domain else ''}{'' if port == '80' else ':' + port}"
