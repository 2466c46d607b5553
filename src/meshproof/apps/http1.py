"""Read HTTP/1.1 messages from a socket: start line, headers and body. Both ends use it."""

from __future__ import annotations

import socket

MAX_HEAD = 64 * 1024
MAX_BODY = 4 * 1024 * 1024
_CHUNK = 64 * 1024

Headers = dict[str, str]


class BadMessage(Exception):
    """The peer sent something that is not HTTP/1.1, is too long or stops in the middle."""


class Reader:
    """The incoming half of one connection; it keeps bytes beyond the current message."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def read_head(self) -> tuple[str, Headers] | None:
        """Return the start line and the headers (names in lower case); None at a clean end.

        A repeated header is joined by commas, cookies by `; ` (RFC 9113, 8.2.3).
        """
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > MAX_HEAD:
                raise BadMessage("headers longer than 64 KiB")
            if not self._receive():
                if self.buffer:
                    raise BadMessage("connection closed within the headers")
                return None
        text = self.buffer[:end].decode("latin-1")
        lines = text.split("\r\n")
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
            raise BadMessage("a bare CR or LF within the headers")  # would split what we pass on
        self.buffer = self.buffer[end + 4 :]
        headers: Headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name[-1] <= " ":
                raise BadMessage(f"malformed header line {line[:80]!r}")
            name, value = name.lower(), value.strip(" \t")
            if name in headers:
                value = headers[name] + ("; " if name == "cookie" else ", ") + value
            headers[name] = value
        return lines[0], headers

    def read_body(self, headers: Headers, *, until_close: bool = False) -> bytes:
        """Return the body that the headers announce; everything until the end if `until_close`."""
        if headers.get("transfer-encoding", "").lower().endswith("chunked"):
            return self._read_chunked()
        length = headers.get("content-length")
        if length is not None:
            if not (length.isascii() and length.isdigit()):
                raise BadMessage(f"malformed content-length {length[:80]!r}")
            return self._read_exactly(int(length))
        if until_close:
            while self._receive():
                self._check_size(len(self.buffer))
            body, self.buffer = self.buffer, b""
            return body
        return b""

    def _read_chunked(self) -> bytes:
        """Return a chunked body."""
        parts: list[bytes] = []
        total = 0
        while True:
            size_text = self._read_line().partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadMessage(f"malformed chunk size {size_text[:80]!r}") from None
            if size == 0:
                while self._read_line():  # trailers
                    pass
                return b"".join(parts)
            total += size
            self._check_size(total)
            parts.append(self._read_exactly(size))
            self._read_line()

    def _read_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        self._check_size(size)
        while len(self.buffer) < size:
            if not self._receive():
                raise BadMessage("connection closed within the body")
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return body

    def _read_line(self) -> bytes:
        """Return the next line without its end."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > MAX_HEAD or not self._receive():
                raise BadMessage("connection closed within a chunk")
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        return line

    def _check_size(self, size: int) -> None:
        """Raise BadMessage for a body that is too long."""
        if not 0 <= size <= MAX_BODY:
            raise BadMessage("body longer than 4 MiB")

    def _receive(self) -> bool:
        """Read more bytes into the buffer; return False at the end of the connection."""
        chunk = self.sock.recv(_CHUNK)
        self.buffer += chunk
        return bool(chunk)
