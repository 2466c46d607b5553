"""What a terminal or the log of a CI server would obey, and a search for it in output."""

from __future__ import annotations

import re
import unicodedata

#: One of each: colour, title of the window, bell, beginning of the line, another direction, an end
#: of the line to some readers; commands to GitHub, Azure and TeamCity.
PLANTED = "evil\x1b[31m\x1b]0;t\x07\r\u202e\u2028\x85\n::error::b\n ::add::c\n##vso[x] ##[e]"
#: The same in YAML, as the text between double quotes.
PLANTED_IN_YAML = ascii(PLANTED)[1:-1]


def find_obeyed(output: str) -> list[str]:
    """Return each character and the beginning of each line of `output` that would be obeyed."""
    characters = [
        repr(character)
        for character in output
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs")
        and character not in "\n\t"
    ]
    commands = re.findall(r"(?m)^\s*::.*|##[a-z]*\[.*", output)
    return characters + commands
