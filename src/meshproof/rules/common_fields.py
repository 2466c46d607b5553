"""Fields that several dialects share: string matches, durations and percentages."""

from __future__ import annotations

import re
from typing import Literal

from meshproof.documents.manifest import Value
from meshproof.rules.model import StringMatch

_STRING_MATCH_KINDS: tuple[Literal["exact", "prefix", "regex"], ...] = ("exact", "prefix", "regex")
#: Go's durations (time.ParseDuration), as Kubernetes takes them: 5s, 100ms, 1h30m.
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_string_match(value: Value) -> StringMatch:
    """Return the string match in a mapping of one key: exact, prefix or regex.

    Raises BadRules for other keys, for none or several, and for an empty string.
    """
    content = value.mapping()
    value.check_keys(*_STRING_MATCH_KINDS)
    for kind in _STRING_MATCH_KINDS:
        if kind in content and len(content) == 1:
            condition = content[kind]
            return StringMatch(kind, condition.non_empty_text(), condition.at)
    raise value.error("one of exact, prefix, regex")


def read_seconds(value: Value) -> float:
    """Return a duration in seconds, 0 or more. Raises BadRules for anything else."""
    text = value.text()
    parts = _DURATION_PART.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise value.error("a duration as 5s, 100ms or 1m30s")
    return float(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


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
        percentage.check_keys("value")
        number = percentage.get("value")
        return read_percent(number) if number else 0.0  # protobuf leaves a zero out
    return read_percent(deprecated) if deprecated else default
