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
Sort = Literal["exact", "prefix", "path", "regex", "present", "any of", "host"]


@dataclass(frozen=True)
class Condition:
    """One condition: on a part of a request (`uri`, `header cookie`, `query q`, `source app`).

    A negated one is: that part is not so, or not there. `fold` takes upper and lower case as one.
    """

    part: str
    sort: Sort
    text: str = ""
    values: frozenset[str] = frozenset()
    negated: bool = False
    fold: bool = False
    at: At = field(compare=False, default=At("", 1))

    def __str__(self) -> str:
        said = ", ".join(sorted(self.values)) if self.values else self.text
        middle = "" if self.sort in ("present", "any of", "host") else f"{self.sort} "
        return f"{self.part} {'not ' if self.negated else ''}{middle}{said}".strip()


def simplified(condition: Condition) -> Condition | None:
    """Return the condition in its plainest form, None where it holds for every request."""
    found = _without_regex(condition)
    if found.sort == "exact" and found.fold:
        found = replace(found, text=found.text.lower())
    if found.sort == "path":
        found = replace(found, text=found.text.rstrip("/"))
    anything = ("", "/") if found.part == "uri" else ("",)
    if found.sort in ("prefix", "path") and found.text in anything:
        found = replace(found, sort="present", text="")
    always = found.part in ("uri", "method", "authority", "scheme")
    return None if always and found.sort == "present" else found


def _without_regex(condition: Condition) -> Condition:
    """Return a regex that takes one value, or all that begin with a text, as what it is."""
    if condition.sort != "regex":
        return condition
    value, start = regexes.literal(condition.text), regexes.prefix(condition.text)
    if value is not None:
        return replace(condition, sort="exact", text=value, fold=False)
    if start is not None:
        return replace(condition, sort="prefix", text=start, fold=False)
    return condition


def takes(condition: Condition, value: str) -> bool:
    """Say whether a value satisfies a condition (leaving its negation aside)."""
    wanted = condition.text
    if condition.fold and condition.sort in ("exact", "prefix", "path"):
        value, wanted = value.lower(), wanted.lower()
    if condition.sort == "exact":
        return value == wanted
    if condition.sort == "prefix":
        return value.startswith(wanted)
    if condition.sort == "path":
        return value == wanted or value.startswith(f"{wanted}/")
    if condition.sort == "regex":
        return regexes.takes(wanted, value)
    if condition.sort == "any of":
        return value in condition.values
    if condition.sort == "host":
        return any(host_within(value, one) for one in condition.values)
    return True


def implies(one: Condition, other: Condition) -> bool:
    """Say whether every request that satisfies the first satisfies the second, too."""
    if one.part != other.part:
        return False
    if one.negated and other.negated:
        return _within(other, one)
    if other.negated:
        return not one.negated and _disjoint(one, other)
    return not one.negated and _within(one, other)


def apart(one: Condition, other: Condition) -> bool:
    """Say whether no request satisfies both."""
    if one.part != other.part or (one.negated and other.negated):
        return False
    if one.negated or other.negated:
        positive, negative = (other, one) if one.negated else (one, other)
        return _within(positive, negative)
    return _disjoint(one, other)


def host_within(host: str, pattern: str) -> bool:
    """Say whether a host, or all hosts of a pattern, are covered by a pattern `*.example.com`."""
    if pattern == "*" or host == pattern:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:]) and host != pattern[1:]


def _within(inner: Condition, outer: Condition) -> bool:
    """Say whether every value that `inner` takes is taken by `outer` (negations aside)."""
    if outer.sort == "present" or _alike(inner, outer):
        return True
    if inner.values and outer.values:
        if outer.sort == "host":
            return all(any(host_within(one, two) for two in outer.values) for one in inner.values)
        return inner.values <= outer.values
    if inner.sort == "exact":
        return (not inner.fold or outer.fold) and takes(outer, inner.text)
    if inner.sort == "regex":
        return _all_begin(regexes.leading(inner.text), outer)
    if inner.sort in ("prefix", "path") and not (inner.fold and not outer.fold):
        return _open_within(inner, outer)
    return False


def _alike(one: Condition, other: Condition) -> bool:
    return (one.sort, one.text, one.values, one.fold) == (
        other.sort,
        other.text,
        other.values,
        other.fold,
    )


def _open_within(inner: Condition, outer: Condition) -> bool:
    """Say whether all that begins with a prefix is taken."""
    if inner.sort == "prefix":
        return _all_begin(inner.text, outer)
    if outer.sort == "path":
        return takes(outer, inner.text)
    return takes(outer, inner.text) and _all_begin(f"{inner.text}/", outer)


def _all_begin(start: str, outer: Condition) -> bool:
    """Say whether every value that begins with `start` is taken."""
    if not start:
        return False
    if outer.sort == "prefix":
        return takes(outer, start)
    if outer.sort == "path":
        return takes(replace(outer, sort="prefix", text=f"{outer.text}/"), start)
    return outer.sort == "regex" and regexes.open_ended(outer.text) and takes(outer, start)


def _disjoint(one: Condition, other: Condition) -> bool:
    """Say whether no value is taken by both (negations aside)."""
    if one.values and other.values:
        if "host" in (one.sort, other.sort):
            return not any(
                host_within(a, b) or host_within(b, a) for a in one.values for b in other.values
            )
        return one.values.isdisjoint(other.values)
    fold = one.fold or other.fold
    for exact, wanted in ((one, other), (other, one)):
        if exact.sort == "exact" and not (exact.fold and wanted.sort == "regex"):
            return not takes(replace(wanted, fold=wanted.fold or fold), exact.text)
    starts = [_start(one), _start(other)]
    if fold:
        starts = [start.lower() for start in starts]
    first, second = starts
    return not (first.startswith(second) or second.startswith(first))


def _start(condition: Condition) -> str:
    """Return the text that every value begins with that is taken."""
    if condition.sort == "regex":
        return regexes.leading(condition.text)
    return condition.text if condition.sort in ("prefix", "path", "exact") else ""
