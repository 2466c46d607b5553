"""Escapes what a terminal or a CI log would obey; see `output`, through which all output goes."""

from __future__ import annotations

import re
import unicodedata

#: Control, format (direction of writing among them), surrogate, private and unknown characters,
#: and the separators of lines and paragraphs.
_OBEYED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
#: A line that GitHub takes for a command: it trims the line first.
_WORKFLOW_COMMAND = re.compile(r"^(\s*):(?=:)", re.M)
#: A command to Azure, TeamCity or an old GitHub runner, anywhere in a line.
_LOG_COMMAND = re.compile(r"#(?=#[a-z]*\[)")


class _Escapes(dict[int, str]):
    """What `str.translate` writes for each character; filled as characters come up."""

    def __init__(self, kept: str) -> None:
        super().__init__({ord(character): character for character in kept})

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_harmless = character.isprintable() or unicodedata.category(character) not in _OBEYED
        self[code] = character if is_harmless else ascii(character)[1:-1]
        return self[code]


_LINE_ESCAPES = _Escapes("")
_TEXT_ESCAPES = _Escapes("\n\t")


def escape_line(text: str) -> str:
    r"""Return `text` as one line: control characters as escapes (`\x1b`, `\n`), tabs too.

    Escaping twice changes nothing more.
    """
    return _escape_commands(text.translate(_LINE_ESCAPES))


def escape_text(text: str) -> str:
    r"""Return `text` with control characters as escapes (`\x1b`); newlines and tabs stay."""
    return _escape_commands(text.translate(_TEXT_ESCAPES))


def _escape_commands(text: str) -> str:
    """Return `text` with the first character of each command to a CI server escaped."""
    if "::" in text:
        text = _WORKFLOW_COMMAND.sub(r"\1\\x3a", text)
    return _LOG_COMMAND.sub(r"\\x23", text) if "##" in text else text
