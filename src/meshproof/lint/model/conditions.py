"""Conditions on a request: whether one implies another, or excludes it.

`implies` and `are_exclusive` say yes only if that is certain. Regexes are judged by their leading
text, their open end, or a fixed value on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from meshproof.base.names import is_host_within
from meshproof.documents.manifest import At
from meshproof.lint.model import regexes
from meshproof.rules.written import PSEUDO_HEADERS

#: `path` is Gateway API's PathPrefix (whole elements), `any of` a set of values, `host` a set of
#: names of which one may begin with `*`, `present` any value at all.
MatchType = Literal["exact", "prefix", "path", "regex", "present", "any of", "host"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one part of a request (`uri`, `header cookie`, `query q`, `source app`).

    A negated one holds if the part has another value or is absent.
    """

    part: str
    match_type: MatchType
    text: str = ""
    values: frozenset[str] = frozenset()
    negated: bool = False
    ignores_case: bool = False
    at: At = field(compare=False, default=At("", 1))

    def __str__(self) -> str:
        """Return the condition in words, as messages show it."""
        compared_text = ", ".join(sorted(self.values)) if self.values else self.text
        comparison = (
            "" if self.match_type in ("present", "any of", "host") else f"{self.match_type} "
        )
        return f"{self.part} {'not ' if self.negated else ''}{comparison}{compared_text}".strip()


def simplify_condition(condition: Condition) -> Condition | None:
    """Return an equal, simpler condition, or None if it holds for every request."""
    simplified = _simplify_regex(condition)
    if simplified.match_type == "exact" and simplified.ignores_case:
        simplified = replace(simplified, text=simplified.text.lower())
    if simplified.match_type == "path":
        simplified = replace(simplified, text=simplified.text.rstrip("/"))
    unlimited_texts = ("", "/") if simplified.part == "uri" else ("",)
    if simplified.match_type in ("prefix", "path") and simplified.text in unlimited_texts:
        simplified = replace(simplified, match_type="present", text="")
    is_always_there = simplified.part in PSEUDO_HEADERS
    return None if is_always_there and simplified.match_type == "present" else simplified


def _simplify_regex(condition: Condition) -> Condition:
    """Turn a regex into an exact or prefix condition if it is equal to one."""
    if condition.match_type != "regex":
        return condition
    only_value, equal_prefix = (
        regexes.find_only_value(condition.text),
        regexes.find_equal_prefix(condition.text),
    )
    if only_value is not None:
        return replace(condition, match_type="exact", text=only_value, ignores_case=False)
    if equal_prefix is not None:
        return replace(condition, match_type="prefix", text=equal_prefix, ignores_case=False)
    return condition


def accepts_value(condition: Condition, value: str) -> bool:
    """Say whether a value satisfies a condition, its negation aside."""
    expected = condition.text
    if condition.ignores_case and condition.match_type in ("exact", "prefix", "path"):
        value, expected = value.lower(), expected.lower()
    if condition.match_type == "exact":
        return value == expected
    if condition.match_type == "prefix":
        return value.startswith(expected)
    if condition.match_type == "path":
        return value == expected or value.startswith(f"{expected}/")
    if condition.match_type == "regex":
        return regexes.matches_whole(expected, value)
    if condition.match_type == "any of":
        return value in condition.values
    if condition.match_type == "host":
        return any(is_host_within(value, host_pattern) for host_pattern in condition.values)
    return True


def implies(premise: Condition, conclusion: Condition) -> bool:
    """Say whether every request that satisfies `premise` satisfies `conclusion`, too."""
    if premise.part != conclusion.part:
        return False
    if premise.negated and conclusion.negated:
        return _covers(conclusion, premise)
    if conclusion.negated:
        return not premise.negated and _are_disjoint(premise, conclusion)
    return not premise.negated and _covers(premise, conclusion)


def are_exclusive(first: Condition, second: Condition) -> bool:
    """Say whether no request satisfies both conditions."""
    if first.part != second.part or (first.negated and second.negated):
        return False
    if first.negated or second.negated:
        positive, negative = (second, first) if first.negated else (first, second)
        return _covers(positive, negative)
    return _are_disjoint(first, second)


def _covers(inner: Condition, outer: Condition) -> bool:
    """Say whether `outer` accepts every value that `inner` accepts, negations aside."""
    if outer.match_type == "present" or _accept_same_values(inner, outer):
        return True
    if inner.values and outer.values:
        if outer.match_type == "host":
            return all(
                any(is_host_within(inner_host, outer_host) for outer_host in outer.values)
                for inner_host in inner.values
            )
        return inner.values <= outer.values
    if inner.match_type == "exact":
        return (not inner.ignores_case or outer.ignores_case) and accepts_value(outer, inner.text)
    if inner.match_type == "regex":
        return _covers_beginning(regexes.find_leading_text(inner.text), outer)
    if inner.match_type in ("prefix", "path") and not (
        inner.ignores_case and not outer.ignores_case
    ):
        return _covers_prefix(inner, outer)
    return False


def _accept_same_values(first: Condition, second: Condition) -> bool:
    """Say whether two conditions are the same, apart from part and negation."""
    return (first.match_type, first.text, first.values, first.ignores_case) == (
        second.match_type,
        second.text,
        second.values,
        second.ignores_case,
    )


def _covers_prefix(inner: Condition, outer: Condition) -> bool:
    """Say whether `outer` accepts everything that the prefix condition `inner` accepts."""
    if inner.match_type == "prefix":
        return _covers_beginning(inner.text, outer)
    if outer.match_type == "path":
        return accepts_value(outer, inner.text)
    return accepts_value(outer, inner.text) and _covers_beginning(f"{inner.text}/", outer)


def _covers_beginning(beginning: str, outer: Condition) -> bool:
    """Say whether `outer` accepts every value that begins with `beginning`."""
    if not beginning:
        return False
    if outer.match_type == "prefix":
        return accepts_value(outer, beginning)
    if outer.match_type == "path":
        return accepts_value(replace(outer, match_type="prefix", text=f"{outer.text}/"), beginning)
    return (
        outer.match_type == "regex"
        and regexes.is_open_ended(outer.text)
        and accepts_value(outer, beginning)
    )


def _are_disjoint(first: Condition, second: Condition) -> bool:
    """Say whether no value satisfies both conditions, negations aside."""
    if first.values and second.values:
        if "host" in (first.match_type, second.match_type):
            return not any(
                is_host_within(first_host, second_host) or is_host_within(second_host, first_host)
                for first_host in first.values
                for second_host in second.values
            )
        return first.values.isdisjoint(second.values)
    ignores_case = first.ignores_case or second.ignores_case
    for exact, compared in ((first, second), (second, first)):
        if exact.match_type == "exact" and not (
            exact.ignores_case and compared.match_type == "regex"
        ):
            return not accepts_value(
                replace(compared, ignores_case=compared.ignores_case or ignores_case), exact.text
            )
    beginnings = [_find_common_beginning(first), _find_common_beginning(second)]
    if ignores_case:
        beginnings = [beginning.lower() for beginning in beginnings]
    first_beginning, second_beginning = beginnings
    return not (
        first_beginning.startswith(second_beginning) or second_beginning.startswith(first_beginning)
    )


def _find_common_beginning(condition: Condition) -> str:
    """Return a text with which every accepted value begins."""
    if condition.match_type == "regex":
        return regexes.find_leading_text(condition.text)
    return condition.text if condition.match_type in ("prefix", "path", "exact") else ""
