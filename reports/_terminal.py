"""The way to the terminal: our own handle on standard output, past anyone who captures it."""

from __future__ import annotations

import io
import os
import sys
from typing import IO


def open_stdout() -> Stdout:
    """Return a stream to what is standard output now, whatever a test runner does to it later."""
    try:
        handle = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    except (OSError, ValueError):  # standard output is no file: a test has put its own in place
        return Stdout(sys.stdout, None)
    return Stdout(sys.stdout, handle)


class Stdout(io.TextIOBase):
    """Writes at once, in order with `sys.stdout`; ends quietly when the reader has gone.

    Characters that the terminal's encoding lacks are spelled out, never an error.
    """

    encoding = "utf-8"

    def __init__(self, shared: IO[str], handle: IO[bytes] | None) -> None:
        self._shared = shared
        self._handle = handle
        self._gone = False
        self.encoding = getattr(shared, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """Return the descriptor that is written to."""
        return self._handle.fileno() if self._handle else self._shared.fileno()

    def isatty(self) -> bool:
        """Return whether a person may be looking."""
        return self._handle.isatty() if self._handle else self._shared.isatty()

    def write(self, text: str) -> int:
        """Write `text`, after what others have left in the buffer of `sys.stdout`."""
        if self._gone:
            return len(text)
        known = text.encode(self.encoding, "backslashreplace")
        try:
            self._shared.flush()
            if self._handle:
                self._handle.write(known)
                self._handle.flush()
            else:
                self._shared.write(known.decode(self.encoding))
        except (BrokenPipeError, ValueError):  # ValueError: closed under us
            self._leave()
        return len(text)

    def close(self) -> None:
        """Close our handle; `sys.stdout` stays as it is."""
        if self._handle and not self._handle.closed:
            try:
                self._handle.close()
            except BrokenPipeError:
                self._leave()
        self._gone = True

    def _leave(self) -> None:
        """Send all that is still buffered to nowhere, so that nothing fails again on exit."""
        self._gone = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (self._handle, self._shared):
            try:
                if stream:
                    os.dup2(nowhere, stream.fileno())
            except (OSError, ValueError):
                continue
        os.close(nowhere)
