"""The lines of a rule, for reports that show what was promised in the user's own words."""

from __future__ import annotations

import itertools
import stat
import textwrap
from contextlib import suppress
from pathlib import Path

from meshproof.base.place import Place
from meshproof.base.redaction import redact_text, redact_tokens

#: So many lines of a rule are kept, of files that are no larger.
_MAX_LINES, _MAX_BYTES = 24, 1 << 20


def read_rule_text(place: Place | None) -> str:
    """Return the block of YAML that begins at a place, without its indent.

    Empty where no line is known or the file cannot be read as text: standard input, say.
    """
    if place is None or not place.line:
        return ""
    with suppress(OSError, ValueError):
        file = Path(place.file)
        status = file.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_BYTES:
            lines = file.read_text(encoding="utf-8").splitlines()
            return "\n".join(map(_redact_line, _cut_block(lines[place.line - 1 :])))
    return ""


def _redact_line(line: str) -> str:
    """Return a line without secrets; a cookie that a rule matches is what is judged."""
    return redact_tokens(line) if "cookie" in line.lower() else redact_text(line)


def _cut_block(lines: list[str]) -> list[str]:
    """Return the first lines as far as they are one block: an object, or an item of a list."""
    if not lines:
        return []
    indent = _measure_indent(lines[0])

    def is_inside(line: str) -> bool:
        text = line.strip()
        if not text or text.startswith("#"):
            return True
        is_next = line.startswith(("---", "...")) or text.startswith("- ")
        deeper = _measure_indent(line) > indent
        return deeper or (_measure_indent(line) == indent and not is_next)

    block = [lines[0], *itertools.takewhile(is_inside, lines[1 : _MAX_LINES + 1])]
    kept = block[:_MAX_LINES] + (["..."] if len(block) > _MAX_LINES else [])
    return textwrap.dedent("\n".join(kept)).rstrip().splitlines()


def _measure_indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
