"""What the dialects have in common: how a condition on one string is written."""

from __future__ import annotations

from typing import Literal

from meshproof.documents.manifest import Value
from meshproof.rules.model import StringMatch

_KINDS: tuple[Literal["exact", "prefix", "regex"], ...] = ("exact", "prefix", "regex")


def string_match(value: Value) -> StringMatch:
    """Return the condition in a mapping of one key: exact, prefix or regex.

    Raises BadRules for other keys, for none or several, and for an empty string.
    """
    content = value.mapping()
    value.allow(*_KINDS)
    for kind in _KINDS:
        if kind in content and len(content) == 1:
            found = content[kind]
            return StringMatch(kind, found.filled(), found.at)
    raise value.error("one of exact, prefix, regex")
