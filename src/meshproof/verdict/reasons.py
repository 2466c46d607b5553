"""Why a verdict fell as it did: one sentence for each code, naming the version at fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from meshproof.verdict.independence import misfit
from meshproof.verdict.phrases import (
    answers,
    listed,
    never,
    odds_to_one,
    only,
    percent,
    points,
    times,
    wrong_split,
)

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def reason(verdict: Verdict) -> str:
    """Return the reason of a verdict, one sentence without a full stop."""
    return _REASONS[verdict.code](verdict)


def _struck_off(verdict: Verdict) -> str:
    if alone := only(verdict.expected):
        return f"only {alone} answered"
    zero = never(verdict.expected)
    leak = f", and {listed(zero)} never answered" if zero else ""
    tolerance = points(verdict.settings.tolerance)
    return f"the shares fit: no version is off by {tolerance} or more{leak}"


def _all_seen(verdict: Verdict) -> str:
    return f"{listed(list(verdict.expected))} answered and no other did"


def _undeclared(verdict: Verdict) -> str:
    strangers = [version for version in verdict.counts if version not in verdict.expected]
    worst = max(strangers, key=lambda version: verdict.counts[version])
    alone = only(verdict.expected)
    why = f"only {alone} is declared" if alone else "it is not declared"
    return f"{_answered(verdict, worst)} though {why}{_hint(verdict)}"


def _weight_zero(verdict: Verdict) -> str:
    worst = max(never(verdict.expected), key=lambda version: verdict.counts[version])
    alone = only(verdict.expected)
    why = f"only {alone} is declared" if alone else "its weight is 0"
    return f"{_answered(verdict, worst)} though {why}{_hint(verdict)}"


def _answered(verdict: Verdict, version: str) -> str:
    count, n = verdict.counts[version], verdict.n
    return (
        f"{version} gave all {n} answers"
        if count == n > 1
        else f"{version} gave {count} of {answers(n)}"
    )


def _wrong_split(verdict: Verdict) -> str:
    n, counts, expected = verdict.n, verdict.counts, verdict.expected
    absent = [version for version, share in expected.items() if share > 0 and not counts[version]]
    if absent:
        worst = max(absent, key=lambda version: expected[version])
        what = f"{worst} never answered in {answers(n)}"
    else:
        worst = max(expected, key=lambda version: _off(counts[version] / n, expected[version]))
        what = f"{worst} gave {percent(counts[worst] / n)} of {answers(n)}"
    return f"{what} where {percent(expected[worst])} was declared{_hint(verdict)}"


def _round_robin(verdict: Verdict) -> str:
    fits = misfit(verdict.counts, verdict.expected) < math.log(10)
    shares = "the shares fit but" if fits else "the shares fit badly, and"
    return (
        f"{shares} answers alternate more regularly than independent weighted draws would "
        f"(odds {odds_to_one(verdict.under)}): round robin, not the rule, makes the split"
    )


def _missing(verdict: Verdict) -> str:
    absent = [version for version in verdict.expected if not verdict.counts[version]]
    settings = verdict.settings
    return (
        f"{listed(absent)} never answered in {answers(verdict.n)}; with a share of "
        f"{percent(settings.present)} that happens at most {times(settings.alpha)}"
    )


def _correlated(verdict: Verdict) -> str:
    return (
        "the same version answers in runs, more often than independent draws would "
        f"(odds {odds_to_one(verdict.over)}): sticky sessions, pinned connections or config "
        "still spreading; counts of such answers prove little"
    )


def _budget(verdict: Verdict) -> str:
    still = [
        wrong_split(verdict.expected, split.version, split.share)
        for split in verdict.splits
        if split.nearest and not split.struck
    ]
    what = f" to rule out {still[-1]}" if still else ""
    were = "was" if verdict.n == 1 else "were"
    return f"{answers(verdict.n)} {were} not enough{what}; {verdict.n_max} always are"


def _errors(verdict: Verdict) -> str:
    total = answers(len(verdict.labels))
    return f"{verdict.unnamed} of {total} named no version, too many to judge by the others"


def _empty(verdict: Verdict) -> str:
    return "there were no answers to judge"


_REASONS: Mapping[str, Callable[[Verdict], str]] = {
    "struck-off": _struck_off,
    "all-seen": _all_seen,
    "undeclared": _undeclared,
    "weight-zero": _weight_zero,
    "wrong-split": _wrong_split,
    "round-robin": _round_robin,
    "missing": _missing,
    "correlated": _correlated,
    "budget": _budget,
    "errors": _errors,
    "empty": _empty,
}


def _hint(verdict: Verdict) -> str:
    """Return a likely cause of a wrong split, or nothing. A guess, so it is worded as one."""
    if verdict.kind == "presence":
        return ""
    n, counts, expected = verdict.n, verdict.counts, verdict.expected
    top = max(counts, key=lambda version: counts[version])
    if counts[top] == n and n > 1:
        if top not in expected:
            return ""
        shape = "100/0" if len(expected) == 2 else f"{top} alone"
        return f", which looks like {shape}: the weights are ignored or traffic is pinned to {top}"
    if n < 6:
        return ""
    even = 1 / len(counts)
    uneven = any(abs(share - even) > 0.02 for share in expected.values())
    if uneven and all(abs(count / n - even) <= even / 3 for count in counts.values()):
        return "; all versions answer about equally often, so the rule does not seem to be applied"
    if len(counts) == 2 and _swapped(counts[top] / n, expected.get(top, 0.0)):
        return "; the weights look swapped"
    return ""


def _swapped(seen: float, declared: float) -> bool:
    """Return whether a share above one half is near the complement of the declared one."""
    return declared < 0.5 and abs(seen - (1 - declared)) < abs(seen - 0.5)


def _off(seen: float, declared: float) -> float:
    """Return how badly one version's seen share fits, in nats per answer, rounded for ties."""
    pair = {"it": seen, "others": 1 - seen}
    total = 0.0
    for name, share in (("it", declared), ("others", 1 - declared)):
        if pair[name] > 0:
            total += pair[name] * math.log(pair[name] / share) if share > 0 else math.inf
    return round(total, 9)
