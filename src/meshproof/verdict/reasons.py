"""Explains a verdict: one sentence for each code, naming the version at fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from meshproof.verdict.comparison import CAUGHT, find_moved_version
from meshproof.verdict.independence import measure_misfit
from meshproof.verdict.phrases import (
    describe_wrong_split,
    find_only_version,
    find_versions_without_weight,
    format_answers,
    format_odds,
    format_percent,
    format_points,
    format_rate,
    join_names,
)

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def explain_verdict(verdict: Verdict) -> str:
    """Return the reason of a verdict, one sentence without a full stop."""
    return _REASONS[verdict.code](verdict)


def _explain_struck_off(verdict: Verdict) -> str:
    if alone := find_only_version(verdict.expected):
        return f"only {alone} answered"
    zero = find_versions_without_weight(verdict.expected)
    leak = f", and {join_names(zero)} never answered" if zero else ""
    tolerance = format_points(verdict.settings.tolerance)
    return f"the shares fit: no version is off by {tolerance} or more{leak}"


def _explain_all_seen(verdict: Verdict) -> str:
    return f"{join_names(list(verdict.expected))} answered and no other did"


def _explain_undeclared(verdict: Verdict) -> str:
    strangers = [version for version in verdict.counts if version not in verdict.expected]
    worst = max(strangers, key=lambda version: verdict.counts[version])
    alone = find_only_version(verdict.expected)
    declaration = f"only {alone} is declared" if alone else "it is not declared"
    return f"{_describe_count(verdict, worst)} though {declaration}{_guess_cause(verdict)}"


def _explain_weight_zero(verdict: Verdict) -> str:
    worst = max(
        find_versions_without_weight(verdict.expected), key=lambda version: verdict.counts[version]
    )
    alone = find_only_version(verdict.expected)
    declaration = f"only {alone} is declared" if alone else "its weight is 0"
    return f"{_describe_count(verdict, worst)} though {declaration}{_guess_cause(verdict)}"


def _describe_count(verdict: Verdict, version: str) -> str:
    """Return how many of the answers a version gave."""
    count, n = verdict.counts[version], verdict.n
    return (
        f"{version} gave all {n} answers"
        if count == n > 1
        else f"{version} gave {count} of {format_answers(n)}"
    )


def _explain_wrong_split(verdict: Verdict) -> str:
    n, counts, expected = verdict.n, verdict.counts, verdict.expected
    absent = [version for version, share in expected.items() if share > 0 and not counts[version]]
    if absent:
        version = max(absent, key=lambda version: expected[version])
        observation = f"{version} never answered in {format_answers(n)}"
    else:
        version = max(
            expected, key=lambda version: _measure_misfit(counts[version] / n, expected[version])
        )
        observation = f"{version} gave {format_percent(counts[version] / n)} of {format_answers(n)}"
    declared = format_percent(expected[version])
    return f"{observation} where {declared} was declared{_guess_cause(verdict)}"


def _explain_round_robin(verdict: Verdict) -> str:
    fits = measure_misfit(verdict.counts, verdict.expected) < math.log(10)
    shares = "the shares fit but" if fits else "the shares fit badly, and"
    return (
        f"{shares} answers alternate more regularly than independent weighted draws would "
        f"(odds {format_odds(verdict.under)}): round robin, not the rule, makes the split"
    )


def _explain_missing(verdict: Verdict) -> str:
    absent = [version for version in verdict.expected if not verdict.counts[version]]
    settings = verdict.settings
    return (
        f"{join_names(absent)} never answered in {format_answers(verdict.n)}; with a share of "
        f"{format_percent(settings.present)} that happens at most {format_rate(settings.alpha)}"
    )


def _explain_unmoved(verdict: Verdict) -> str:
    caught = format_points(CAUGHT)
    return f"the shares are as before: no version is off by {caught} or more"


def _explain_moved(verdict: Verdict) -> str:
    version = find_moved_version(verdict.baseline, verdict.counts)
    share = format_percent(verdict.counts.get(version, 0) / verdict.n)
    before = format_percent(verdict.expected.get(version, 0.0))
    return f"{version} gave {share} of {format_answers(verdict.n)}, and {before} of as many before"


def _explain_unclear(verdict: Verdict) -> str:
    version = find_moved_version(verdict.baseline, verdict.counts)
    caught = format_points(CAUGHT)
    return f"the share of {version} may be off by {caught}, as far as {verdict.n_max} answers tell"


def _explain_correlated(verdict: Verdict) -> str:
    return (
        "the same version answers in runs, more often than independent draws would "
        f"(odds {format_odds(verdict.over)}): sticky sessions, pinned connections or config "
        "still spreading; counts of such answers prove little"
    )


def _explain_budget(verdict: Verdict) -> str:
    open_splits = [
        describe_wrong_split(verdict.expected, split.version, split.share)
        for split in verdict.splits
        if split.nearest and not split.struck
    ]
    purpose = f" to rule out {open_splits[-1]}" if open_splits else ""
    struck_splits = [
        describe_wrong_split(verdict.expected, split.version, split.share)
        for split in verdict.splits
        if split.nearest and split.struck
    ]
    result = f" (ruled out so far: {', '.join(struck_splits[:2])})" if struck_splits else ""
    verb = "was" if verdict.n == 1 else "were"
    answers = format_answers(verdict.n)
    return f"{answers} {verb} not enough{purpose}{result}; {verdict.n_max} always are"


def _explain_errors(verdict: Verdict) -> str:
    total = format_answers(verdict.n + verdict.unnamed)
    return f"{verdict.unnamed} of {total} named no version, too many to judge by the others"


def _explain_empty(verdict: Verdict) -> str:
    return "there were no answers to judge"


_REASONS: Mapping[str, Callable[[Verdict], str]] = {
    "struck-off": _explain_struck_off,
    "all-seen": _explain_all_seen,
    "undeclared": _explain_undeclared,
    "weight-zero": _explain_weight_zero,
    "wrong-split": _explain_wrong_split,
    "round-robin": _explain_round_robin,
    "missing": _explain_missing,
    "unmoved": _explain_unmoved,
    "moved": _explain_moved,
    "unclear": _explain_unclear,
    "correlated": _explain_correlated,
    "budget": _explain_budget,
    "errors": _explain_errors,
    "empty": _explain_empty,
}


def _guess_cause(verdict: Verdict) -> str:
    """Return a likely cause of a wrong split, or nothing. It is a guess and worded as one."""
    if verdict.kind != "weights":
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
    even_share = 1 / len(counts)
    declares_uneven_shares = any(abs(share - even_share) > 0.02 for share in expected.values())
    if declares_uneven_shares and all(
        abs(count / n - even_share) <= even_share / 3 for count in counts.values()
    ):
        return "; all versions answer about equally often, so the rule does not seem to be applied"
    if len(counts) == 2 and _looks_swapped(counts[top] / n, expected.get(top, 0.0)):
        return "; the weights look swapped"
    return ""


def _looks_swapped(observed: float, declared: float) -> bool:
    """Return whether a share above one half is near the complement of the declared one."""
    return declared < 0.5 and abs(observed - (1 - declared)) < abs(observed - 0.5)


def _measure_misfit(observed: float, declared: float) -> float:
    """Return how badly one version's share fits, in nats per answer, rounded for ties."""
    observed_shares = {"it": observed, "others": 1 - observed}
    total = 0.0
    for name, share in (("it", declared), ("others", 1 - declared)):
        if observed_shares[name] > 0:
            total += (
                observed_shares[name] * math.log(observed_shares[name] / share)
                if share > 0
                else math.inf
            )
    return round(total, 9)
