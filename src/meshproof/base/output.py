"""All output to a terminal or a CI log, with what could control either of them escaped.

Names in rules, labels and responses are not trusted. A terminal obeys escape sequences, GitHub a
line that begins with `::` (docs.github.com, workflow commands), Azure and TeamCity `##vso[` and
`##teamcity[`. Characters that change the direction of writing make a text look like another one
(Unicode Technical Report 36).
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable
from typing import IO, Any

from meshproof.base.errors import NotReady
from meshproof.base.escaping import escape_line, escape_text

__all__ = [
    "discard",
    "encode_json",
    "escape_line",
    "escape_text",
    "prepare_streams",
    "print_json",
    "print_line",
    "print_message",
    "write",
    "write_bytes",
]

#: The beginning of a command to Azure, TeamCity or an old GitHub runner, in JSON.
_LOG_COMMAND = re.compile(r"##(?=[a-z]*\[)")


def prepare_streams() -> None:
    """Open what the caller has closed (`<&-`, `>&-`, `2>&-`) as an empty or a discarding stream.

    Else the next file or socket would be what libraries and other processes take for it. Characters
    outside the encoding of an output are written as escapes from now on.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_line(text: str) -> None:
    """Write one line to standard output. Raises NotReady where it takes no more."""
    write(f"{escape_line(text)}\n")


def print_json(value: Any) -> None:
    """Write a value as JSON to standard output. Raises NotReady where it takes no more.

    JSON's own escapes keep a log from obeying it: the value stays the same for who reads it.
    """
    write(f"{encode_json(value)}\n")


def encode_json(value: Any, indent: int | None = 1) -> str:
    """Return a value as JSON text that no log obeys; without `indent` in one line."""
    return _LOG_COMMAND.sub(r"\\u0023#", json.dumps(value, indent=indent))


def write(text: str, stream: IO[str] | None = None) -> None:
    """Write text of several lines to `stream` or standard output.

    Raises NotReady where it takes no more. A reader that has closed its end (`| head`) is no error:
    the rest is discarded.
    """
    _write_result(lambda target: target.write(escape_text(text)), stream)


def write_bytes(content: bytes) -> None:
    """Write a file's content to standard output as it is; else like `write`."""

    def write_raw(target: IO[str]) -> None:
        if isinstance(target, io.TextIOWrapper):
            target.flush()
            target.buffer.write(content)
        else:  # a test has replaced it
            target.write(content.decode())

    _write_result(write_raw)


def _write_result(write_to: Callable[[IO[str]], object], stream: IO[str] | None = None) -> None:
    """Write to `stream` or standard output, and flush. Raises NotReady where it takes no more."""
    target = stream or sys.stdout
    if target is None:
        return
    try:
        write_to(target)
        target.flush()
    except BrokenPipeError:
        discard(target)
    except OSError as error:
        discard(target)
        raise NotReady(f"standard output: {error.strerror}") from None


def print_message(text: str) -> None:
    """Write a message of one or several lines to standard error; do nothing where it takes none."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"{escape_text(text)}\n")
            sys.stderr.flush()
    except (OSError, ValueError):  # ValueError: closed by somebody else
        discard(sys.stderr)


def discard(stream: IO[str]) -> None:
    """Send buffered output of a stream to os.devnull, so that no later flush can fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):  # it is no file
        return
    finally:
        os.close(nowhere)
