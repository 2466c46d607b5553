"""The lines of a rule, for reports that show what was promised in the user's own words."""

from __future__ import annotations

import itertools
import json
import re
import stat
import textwrap
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from meshproof.base.place import Place
from meshproof.base.redaction import redact_text, redact_value

#: So many lines of a rule are kept, of files that are no larger.
_MAX_LINES, _MAX_BYTES = 24, 1 << 20
#: A letter without a form: while it is inside of "cookie", this is no name of a secret.
_MARK = "\u1160"


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
            block = _take_block(lines[place.line - 1 :])
            return _cut(_redact_block(textwrap.dedent("\n".join(block))))
    return ""


@lru_cache(maxsize=64)
def _redact_block(block: str) -> str:
    """Return a block without secrets: the whole of it, as the name of one may be a line above it.

    A cookie that a rule matches is what is judged, and stays.
    """
    with suppress(ValueError, RecursionError):
        return json.dumps(redact_value(json.loads(block)), indent=2)
    marked = re.sub(r"(?i)(?<=coo)(?=kie)", _MARK, block.replace(_MARK, ""))
    return redact_text(marked).replace(_MARK, "")


def _cut(block: str) -> str:
    """Return the first lines of a block."""
    lines = block.rstrip().splitlines()
    return "\n".join(lines[:_MAX_LINES] + (["..."] if len(lines) > _MAX_LINES else []))


def _take_block(lines: list[str]) -> list[str]:
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

    return [lines[0], *itertools.takewhile(is_inside, lines[1:])]


def _measure_indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
