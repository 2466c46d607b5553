"""Our own handle on standard output, which pytest's capturing does not touch."""

from __future__ import annotations

import io
import os
import sys
from typing import IO


def open_stdout() -> Stdout:
    """Return a stream to the current standard output, whatever replaces `sys.stdout` later."""
    try:
        handle = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    except (OSError, ValueError):  # no file: a test has replaced it
        return Stdout(sys.stdout, None)
    return Stdout(sys.stdout, handle)


class Stdout(io.TextIOBase):
    """Writes without delay, in order with `sys.stdout`; drops output when the reader is closed.

    Characters outside the terminal's encoding are written as escapes.
    """

    encoding = "utf-8"

    def __init__(self, shared: IO[str], handle: IO[bytes] | None) -> None:
        self._shared = shared
        self._handle = handle
        self._is_closed = False
        self.encoding = getattr(shared, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """Return the file descriptor of the output."""
        return self._handle.fileno() if self._handle else self._shared.fileno()

    def isatty(self) -> bool:
        """Return whether the output is a terminal."""
        return self._handle.isatty() if self._handle else self._shared.isatty()

    def write(self, text: str) -> int:
        """Write `text`, after flushing the buffer of `sys.stdout`."""
        if self._is_closed:
            return len(text)
        encoded = text.encode(self.encoding, "backslashreplace")
        try:
            self._shared.flush()
            if self._handle:
                self._handle.write(encoded)
                self._handle.flush()
            else:
                self._shared.write(encoded.decode(self.encoding))
        except (BrokenPipeError, ValueError):  # ValueError: closed by somebody else
            self._discard_output()
        return len(text)

    def close(self) -> None:
        """Close our handle; `sys.stdout` stays as it is."""
        if self._handle and not self._handle.closed:
            try:
                self._handle.close()
            except BrokenPipeError:
                self._discard_output()
        self._is_closed = True

    def _discard_output(self) -> None:
        """Send buffered output to os.devnull, so that the flush on exit cannot fail again."""
        self._is_closed = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (self._handle, self._shared):
            try:
                if stream:
                    os.dup2(nowhere, stream.fileno())
            except (OSError, ValueError):
                continue
        os.close(nowhere)
