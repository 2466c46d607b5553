"""Conditions on a request, and what follows from them: one implies another, or excludes it.

Every answer is safe: `implies` and `apart` say yes only where that is certain, also for regexes
(read by their leading text, an open end, or one fixed value on the other side).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from meshproof.documents.manifest import At
from meshproof.lint.model import regexes

#: `path` is Gateway API's PathPrefix (whole elements), `any of` a set of values, `host` a set of
#: names of which one may begin with `*`, `present` any value at all.
MatchType = Literal["exact", "prefix", "path", "regex", "present", "any of", "host"]


@dataclass(frozen=True)
class Condition:
    """One condition: on a part of a request (`uri`, `header cookie`, `query q`, `source app`).

    A negated one is: that part is not so, or not there. `fold` takes upper and lower case as one.
    """

    part: str
    match_type: MatchType
    text: str = ""
    values: frozenset[str] = frozenset()
    negated: bool = False
    ignores_case: bool = False
    at: At = field(compare=False, default=At("", 1))

    def __str__(self) -> str:
        said = ", ".join(sorted(self.values)) if self.values else self.text
        middle = "" if self.match_type in ("present", "any of", "host") else f"{self.match_type} "
        return f"{self.part} {'not ' if self.negated else ''}{middle}{said}".strip()


def simplify_condition(condition: Condition) -> Condition | None:
    """Return the condition in its plainest form, None where it holds for every request."""
    found = _simplify_regex(condition)
    if found.match_type == "exact" and found.ignores_case:
        found = replace(found, text=found.text.lower())
    if found.match_type == "path":
        found = replace(found, text=found.text.rstrip("/"))
    anything = ("", "/") if found.part == "uri" else ("",)
    if found.match_type in ("prefix", "path") and found.text in anything:
        found = replace(found, match_type="present", text="")
    always = found.part in ("uri", "method", "authority", "scheme")
    return None if always and found.match_type == "present" else found


def _simplify_regex(condition: Condition) -> Condition:
    """Return a regex that takes one value, or all that begin with a text, as what it is."""
    if condition.match_type != "regex":
        return condition
    value, start = (
        regexes.find_only_value(condition.text),
        regexes.find_equal_prefix(condition.text),
    )
    if value is not None:
        return replace(condition, match_type="exact", text=value, ignores_case=False)
    if start is not None:
        return replace(condition, match_type="prefix", text=start, ignores_case=False)
    return condition


def accepts_value(condition: Condition, value: str) -> bool:
    """Say whether a value satisfies a condition (leaving its negation aside)."""
    wanted = condition.text
    if condition.ignores_case and condition.match_type in ("exact", "prefix", "path"):
        value, wanted = value.lower(), wanted.lower()
    if condition.match_type == "exact":
        return value == wanted
    if condition.match_type == "prefix":
        return value.startswith(wanted)
    if condition.match_type == "path":
        return value == wanted or value.startswith(f"{wanted}/")
    if condition.match_type == "regex":
        return regexes.matches_whole(wanted, value)
    if condition.match_type == "any of":
        return value in condition.values
    if condition.match_type == "host":
        return any(is_host_within(value, one) for one in condition.values)
    return True


def implies(one: Condition, other: Condition) -> bool:
    """Say whether every request that satisfies the first satisfies the second, too."""
    if one.part != other.part:
        return False
    if one.negated and other.negated:
        return _covers(other, one)
    if other.negated:
        return not one.negated and _are_disjoint(one, other)
    return not one.negated and _covers(one, other)


def exclude(one: Condition, other: Condition) -> bool:
    """Say whether no request satisfies both."""
    if one.part != other.part or (one.negated and other.negated):
        return False
    if one.negated or other.negated:
        positive, negative = (other, one) if one.negated else (one, other)
        return _covers(positive, negative)
    return _are_disjoint(one, other)


def is_host_within(host: str, pattern: str) -> bool:
    """Say whether a host, or all hosts of a pattern, are covered by a pattern `*.example.com`."""
    if pattern == "*" or host == pattern:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:]) and host != pattern[1:]


def _covers(inner: Condition, outer: Condition) -> bool:
    """Say whether every value that `inner` takes is taken by `outer` (negations aside)."""
    if outer.match_type == "present" or _accept_same_values(inner, outer):
        return True
    if inner.values and outer.values:
        if outer.match_type == "host":
            return all(
                any(is_host_within(one, two) for two in outer.values) for one in inner.values
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


def _accept_same_values(one: Condition, other: Condition) -> bool:
    return (one.match_type, one.text, one.values, one.ignores_case) == (
        other.match_type,
        other.text,
        other.values,
        other.ignores_case,
    )


def _covers_prefix(inner: Condition, outer: Condition) -> bool:
    """Say whether all that begins with a prefix is taken."""
    if inner.match_type == "prefix":
        return _covers_beginning(inner.text, outer)
    if outer.match_type == "path":
        return accepts_value(outer, inner.text)
    return accepts_value(outer, inner.text) and _covers_beginning(f"{inner.text}/", outer)


def _covers_beginning(start: str, outer: Condition) -> bool:
    """Say whether every value that begins with `start` is taken."""
    if not start:
        return False
    if outer.match_type == "prefix":
        return accepts_value(outer, start)
    if outer.match_type == "path":
        return accepts_value(replace(outer, match_type="prefix", text=f"{outer.text}/"), start)
    return (
        outer.match_type == "regex"
        and regexes.is_open_ended(outer.text)
        and accepts_value(outer, start)
    )


def _are_disjoint(one: Condition, other: Condition) -> bool:
    """Say whether no value is taken by both (negations aside)."""
    if one.values and other.values:
        if "host" in (one.match_type, other.match_type):
            return not any(
                is_host_within(a, b) or is_host_within(b, a)
                for a in one.values
                for b in other.values
            )
        return one.values.isdisjoint(other.values)
    fold = one.ignores_case or other.ignores_case
    for exact, wanted in ((one, other), (other, one)):
        if exact.match_type == "exact" and not (
            exact.ignores_case and wanted.match_type == "regex"
        ):
            return not accepts_value(
                replace(wanted, ignores_case=wanted.ignores_case or fold), exact.text
            )
    starts = [_find_common_beginning(one), _find_common_beginning(other)]
    if fold:
        starts = [start.lower() for start in starts]
    first, second = starts
    return not (first.startswith(second) or second.startswith(first))


def _find_common_beginning(condition: Condition) -> str:
    """Return the text that every value begins with that is taken."""
    if condition.match_type == "regex":
        return regexes.find_leading_text(condition.text)
    return condition.text if condition.match_type in ("prefix", "path", "exact") else ""
