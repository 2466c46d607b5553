"""Read a process's log and cut it for a message: the lines with the cause, then the end.

Source: Envoy writes `assert failure: ...` and then the stack, twice, by address (its
source/common/common/assert.h and source/server/backtrace.h). A Go program writes `panic: ...` and
then every goroutine.
"""

from __future__ import annotations

import re
from pathlib import Path

#: What a program writes when it gives up. The lines after it only say where that happened.
_CAUSE = re.compile(
    r"\[critical\]\[(?!backtrace\])|assert failure|envoy bug failure|"
    r"^\[err\]|^panic: |^fatal error: "
)
#: A stack line with only an address, or with a function and its address.
_STACK = re.compile(r"#\d+:? .*\[0x[0-9a-f]+\]\s*$")
_MAX_LINE_LENGTH = 300
_MAX_CAUSES = 2


def read_log(log: Path) -> str:
    """Return the text of a log, or in brackets why it cannot be read."""
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(its log cannot be read: {error.strerror})"


def format_tail(log: Path, lines: int) -> str:
    """Return the end of a log for a message, indented, below the lines that name the cause.

    The end is the last `lines` lines, without stack lines. The cause is named by the first two
    lines in which a program gives up; `...` separates them from the end if they come earlier.
    """
    log_lines = [
        line.rstrip()[:_MAX_LINE_LENGTH] for line in read_log(log).splitlines() if line.strip()
    ]
    message_lines = [line for line in log_lines if not _STACK.search(line)] or log_lines
    begin = max(len(message_lines) - lines, 0)
    cause_indexes = [index for index, line in enumerate(message_lines) if _CAUSE.search(line)][
        :_MAX_CAUSES
    ]
    earlier_causes = [message_lines[index] for index in cause_indexes if index < begin]
    excerpt = [*earlier_causes, *(["..."] if earlier_causes else []), *message_lines[begin:]]
    return "\n".join(f"    {line}" for line in excerpt) or "    (its log is empty)"
