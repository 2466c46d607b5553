"""HTTP/1.1 transfers by libcurl (pycurl), several at a time in one thread.

libcurl sends a request again by itself when a kept connection turns out to be closed. Here such a
request gets no response: whoever judges a mesh must know what it lost, and send nothing twice.
"""

from __future__ import annotations

import errno
import io
import string
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

import pycurl

from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.protocol import Address, TlsClient

#: Headers that a client adds by itself, unless a request has or omits them.
_AUTOMATIC_HEADERS = (("User-Agent", "meshproof"), ("Accept-Encoding", "identity"))
#: What tells handles apart, each with settings of its own: address, client, method, kept-alive.
_HandleKey = tuple[Address, int, str, bool]
#: Headers that libcurl adds where it is not told otherwise.
_LIBCURL_HEADERS = ("accept", "user-agent")
#: Methods whose requests say that they have no body (RFC 9110, section 8.6).
_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
#: The most idle connections that are kept.
_MAX_IDLE = 128
#: A connection that was idle for longer, in seconds, is not used again: its server may close it.
_MAX_IDLE_SECONDS = 1
#: The longest wait for a socket, in seconds; signals are looked at between two.
_MAX_WAIT = 0.1
#: How long to wait where libcurl has no socket to wait for (it looks up a name), in seconds.
_NO_SOCKET_WAIT = 0.005
_REASONS = {
    pycurl.E_COULDNT_RESOLVE_HOST: LossReason.UNKNOWN_HOST,
    pycurl.E_INTERFACE_FAILED: LossReason.UNREACHABLE,
    pycurl.E_OPERATION_TIMEDOUT: LossReason.LATE,
    pycurl.E_PEER_FAILED_VERIFICATION: LossReason.WRONG_CERTIFICATE,
    pycurl.E_SSL_CERTPROBLEM: LossReason.NO_TLS,
    pycurl.E_SSL_CONNECT_ERROR: LossReason.NO_TLS,
}


class Transfer:
    """A request that is under way; `outcome` is there once it has ended."""

    def __init__(self, request: HttpRequest) -> None:
        self.outcome: HttpResponse | NoResponse | None = None
        self._request = request
        self._was_sent = False
        self._header_lines: list[bytes] = []
        self._body = io.BytesIO()

    def prepare(self, handle: pycurl.Curl, address: Address, keep_alive: bool) -> None:
        """Set the request in a handle of `_open_handle`. Raises ValueError for a broken header."""
        request = self._request
        handle.setopt(pycurl.REQUEST_TARGET, _encode_target(request.path))
        lines = _write_headers(
            request.headers,
            request.omitted_headers,
            request.method,
            f"{address.host}:{address.port}",
            keep_alive,
        )
        handle.setopt(pycurl.HTTPHEADER, lines)
        handle.setopt(pycurl.TIMEOUT_MS, max(1, round(request.max_seconds * 1000)))
        handle.setopt(pycurl.PREREQFUNCTION, self._allow_sending)
        handle.setopt(pycurl.HEADERFUNCTION, self._add_header_line)
        handle.setopt(pycurl.WRITEDATA, self._body)

    def end(self, handle: pycurl.Curl) -> None:
        """Take the response."""
        self.outcome = HttpResponse(
            self._request,
            handle.getinfo(pycurl.RESPONSE_CODE),
            _read_headers(self._header_lines),
            self._body.getvalue(),
            handle.getinfo(pycurl.TOTAL_TIME),
        )

    def fail(self, handle: pycurl.Curl, error: int, message: str) -> None:
        """Take why there is no response: an error of libcurl and its text."""
        reason = _REASONS.get(error, LossReason.ENDED)
        if error == pycurl.E_ABORTED_BY_CALLBACK:
            message = "the kept connection was closed without a response"
        if error == pycurl.E_COULDNT_CONNECT:
            is_refused = handle.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED
            reason = LossReason.REFUSED if is_refused else LossReason.UNREACHABLE
        self.outcome = NoResponse(reason, message)

    def _allow_sending(self, *_connection: object) -> int:
        """Tell libcurl to send the request, but not once more."""
        answer = pycurl.PREREQFUNC_ABORT if self._was_sent else pycurl.PREREQFUNC_OK
        self._was_sent = True
        return answer

    def _add_header_line(self, line: bytes) -> None:
        """Keep a line of the response's head: the last head counts, not one of status 1xx."""
        if line.startswith(b"HTTP/"):
            self._header_lines.clear()
        self._header_lines.append(line)


class TransferLoop:
    """Transfers of one thread at a time, and the connections that they keep."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _MAX_IDLE)
        self._idle_handles: defaultdict[_HandleKey, list[pycurl.Curl]] = defaultdict(list)
        self._transfers: dict[pycurl.Curl, tuple[Transfer, _HandleKey]] = {}

    @property
    def under_way(self) -> int:
        """How many requests have no outcome yet."""
        return len(self._transfers)

    def begin(self, address: Address, request: HttpRequest, keep_alive: bool) -> Transfer:
        """Begin a request, which `advance` sends. Raises ValueError for a broken header."""
        transfer = Transfer(request)
        key = address, request.client, request.method, keep_alive
        idle = self._idle_handles[key]
        handle = idle.pop() if idle else _open_handle(*key)
        transfer.prepare(handle, address, keep_alive)
        self._multi.add_handle(handle)
        self._transfers[handle] = transfer, key
        return transfer

    def advance(self) -> None:
        """Send and receive until at least one request that is under way has its outcome."""
        while self._transfers:
            self._multi.perform()
            if self._take_outcomes():
                return
            self._wait()

    def close(self) -> None:
        """Close the connections."""
        for handles in self._idle_handles.values():
            for handle in handles:
                handle.close()
        self._multi.close()

    def _take_outcomes(self) -> bool:
        """Give the transfers that have ended their outcomes; say whether there were any."""
        _queued, ended, failed = self._multi.info_read()
        for handle in ended:
            self._remove(handle).end(handle)
        for handle, error, message in failed:
            self._remove(handle).fail(handle, error, message)
        return bool(ended or failed)

    def _remove(self, handle: pycurl.Curl) -> Transfer:
        """Return the transfer of a handle, which is idle again."""
        transfer, key = self._transfers.pop(handle)
        self._multi.remove_handle(handle)
        self._idle_handles[key].append(handle)
        return transfer

    def _wait(self) -> None:
        """Wait for a socket, a moment of libcurl's own clock or a signal."""
        timer = self._multi.timeout()
        seconds = min(timer / 1000, _MAX_WAIT) if timer >= 0 else _MAX_WAIT
        if self._multi.select(seconds) < 0:
            time.sleep(_NO_SOCKET_WAIT)


def _open_handle(address: Address, client: int, method: str, keep_alive: bool) -> pycurl.Curl:
    """Return a handle for requests of a method to an address, from that of a client."""
    handle = pycurl.Curl()
    handle.setopt(pycurl.PROXY, "")  # whatever the environment says
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.MAXAGE_CONN, _MAX_IDLE_SECONDS)
    handle.setopt(pycurl.FRESH_CONNECT, not keep_alive)
    handle.setopt(pycurl.FORBID_REUSE, not keep_alive)
    if method == "HEAD":
        handle.setopt(pycurl.NOBODY, 1)
    elif method != "GET":
        handle.setopt(pycurl.CUSTOMREQUEST, method)
    if client:
        handle.setopt(pycurl.INTERFACE, f"127.0.0.{client + 1}")
    if address.tls_client is None:
        handle.setopt(pycurl.URL, f"http://{address.host}:{address.port}/")
    else:
        _set_tls(handle, address, address.tls_client)
    return handle


def _set_tls(handle: pycurl.Curl, address: Address, tls: TlsClient) -> None:
    """Set how a handle speaks TLS."""
    handle.setopt(pycurl.URL, f"https://{tls.name}:{address.port}/")
    place = f"{tls.name}:{address.port}:{address.host}:{address.port}"
    handle.setopt(pycurl.CONNECT_TO, [place])
    handle.setopt(pycurl.SSL_SESSIONID_CACHE, 0)
    handle.setopt(pycurl.CAINFO, str(tls.ca))
    if tls.certificate is not None:
        handle.setopt(pycurl.SSLCERT, str(tls.certificate))
        handle.setopt(pycurl.SSLKEY, str(tls.key))


@lru_cache(maxsize=256)  # the requests of a sample are alike
def _write_headers(
    headers: tuple[tuple[str, str], ...],
    omitted: tuple[str, ...],
    method: str,
    authority: str,
    keep_alive: bool,
) -> list[bytes]:
    """Return the header lines of a request for libcurl, and those that it must not add.

    Raises ValueError for a header of several lines.
    """
    names = {name.lower() for name, _ in headers}
    own = dict(_AUTOMATIC_HEADERS) | ({} if keep_alive else {"Connection": "close"})
    if method in _METHODS_WITH_BODY:
        own["Content-Length"] = "0"
    all_headers = [] if "host" in names else [("Host", authority)]
    all_headers += headers
    all_headers += [item for item in own.items() if item[0].lower() not in names | set(omitted)]
    all_names = {name.lower() for name, _ in all_headers}
    return [
        *(_write_header(name, value) for name, value in all_headers),
        *(f"{name}:".encode() for name in _LIBCURL_HEADERS if name not in all_names),
    ]


def _write_header(name: str, value: str) -> bytes:
    """Return a header line as libcurl takes it. Raises ValueError if it would be several lines."""
    if any(control in name + value for control in "\r\n\0"):
        raise ValueError(f"a header of several lines: {name!r}: {value!r}")
    # libcurl takes a name with a colon and no value for one that it must not send.
    return f"{name}: {value}".encode() if value else f"{name};".encode()


@lru_cache(maxsize=256)
def _encode_target(path: str) -> str:
    """Return a path and query with what no request line may hold percent-encoded."""
    return quote(path, safe=string.punctuation)


def _read_headers(lines: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of a head, with lower-case names; those of one name are joined."""
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            key, text = name.strip().lower(), value.strip()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
