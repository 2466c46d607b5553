"""Fields that several dialects share: string matches, durations and percentages."""

from __future__ import annotations

from typing import Literal

from meshproof.documents import durations
from meshproof.documents.manifest import Value
from meshproof.rules.model import StringMatch

_STRING_MATCH_KINDS: tuple[Literal["exact", "prefix", "regex"], ...] = ("exact", "prefix", "regex")


def read_string_match(value: Value) -> StringMatch:
    """Return the string match in a mapping of one key: exact, prefix or regex.

    Raises BadRules for none or several, and for an empty string.
    """
    conditions = [(kind, value.get(kind)) for kind in _STRING_MATCH_KINDS]
    given = [(kind, condition) for kind, condition in conditions if condition is not None]
    if len(given) != 1:
        raise value.error("one of exact, prefix, regex")
    ((kind, condition),) = given
    return StringMatch(kind, condition.non_empty_text(), condition.at)


def read_seconds(value: Value) -> float:
    """Return a duration in seconds, 0 or more. Raises BadRules for anything else."""
    seconds = durations.parse_duration(value.text())
    if seconds is None:
        raise value.error(durations.EXAMPLES)
    return seconds


def read_percent(value: Value) -> float:
    """Return a number from 0 to 100. Raises BadRules for anything else."""
    number = value.content
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 100:
        raise value.error("a number from 0 to 100")
    return float(number)


def read_percentage_field(parent: Value, key: str, deprecated_key: str, default: float) -> float:
    """Return the percentage under `key`, as {value: 12.5}, or under its deprecated twin, as 12."""
    percentage, deprecated = parent.get(key), parent.get(deprecated_key)
    if percentage is not None:
        number = percentage.get("value")
        return read_percent(number) if number else 0.0  # protobuf leaves a zero out
    return read_percent(deprecated) if deprecated else default
