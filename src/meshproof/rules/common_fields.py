"""Fields that several dialects share: string matches, durations and percentages."""

from __future__ import annotations

from typing import Any

from meshproof.base.regexes import compile_regex
from meshproof.documents import durations
from meshproof.documents.manifest import Value
from meshproof.rules.model import StringMatch
from meshproof.rules.written import STRING_KINDS, WrittenPercentage

#: So much of a regex is shown in a message.
_MAX_SHOWN = 100


def read_string_match(value: Value) -> StringMatch:
    """Return the string match in a mapping of one key: exact, prefix or regex.

    Raises BadRules for none or several, for an empty string, and for a regex that Istio refuses.
    """
    string_match = read_unchecked_string_match(value)
    if string_match.kind == "regex":
        compile_string_match(string_match)
    return string_match


def compile_string_match(string_match: StringMatch) -> Any:
    """Return the compiled regex of a string match. Raises BadRules for one that RE2 rejects."""
    compiled = compile_regex(string_match.value)
    if isinstance(compiled, str):
        raise string_match.at.error(
            f"RE2 does not take the regex '{string_match.value[:_MAX_SHOWN]}': {compiled}"
        )
    return compiled


def read_unchecked_string_match(value: Value) -> StringMatch:
    """Return a string match whose regex may be one that RE2 does not take, as a RouteRule has it.

    Raises BadRules for none or several of exact, prefix and regex, and for an empty string.
    """
    conditions = [(kind, value.get(kind)) for kind in STRING_KINDS]
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


def read_percentage(percentage: WrittenPercentage | None, default: float) -> float:
    """Return a percentage, the default without one; protobuf leaves out a number of 0."""
    if percentage is None:
        return default
    return read_percent(percentage.number) if percentage.number is not None else 0.0
