"""Formats a verdict for people: one line for a console, one paragraph for a report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meshproof.verdict.comparison import CAUGHT, find_upper_limit
from meshproof.verdict.intervals import compute_share_intervals, name_method
from meshproof.verdict.phrases import (
    describe_promise,
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
from meshproof.verdict.settings import EPS, Outcome
from meshproof.verdict.strikeoff import StrikeOff

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def format_line(verdict: Verdict) -> str:
    """Return the verdict as one line: its outcome, then what `format_statement` returns."""
    return f"{verdict.outcome}: {format_statement(verdict)}"


def format_statement(verdict: Verdict) -> str:
    """Return in one line what a verdict is based on: n, counts, bound and error rates."""
    if verdict.outcome is Outcome.PASSED:
        shares = verdict.kind == "comparison" or _is_split(verdict)
        declared = (
            f"; declared {describe_promise(verdict.kind, verdict.expected)}" if shares else ""
        )
        miss_rate = f"(missed at most {format_rate(verdict.settings.beta)})"
        loosened = verdict.loosened()
        loosened_text = f"; looser than the run: {join_names(loosened)}" if loosened else ""
        observed = f"{_describe_counts(verdict)}{declared}"
        return f"{observed}; {describe_fault(verdict)} is ruled out {miss_rate}{loosened_text}"
    alpha = compute_false_alarm_rate(verdict) if verdict.outcome is Outcome.FAILED else 0.0
    rate = f"; a false alarm at most {format_rate(alpha)}" if alpha else ""
    return f"{verdict.reason} [{_describe_counts(verdict)}{rate}]"


def format_paragraph(verdict: Verdict) -> str:
    """Return promise, counts with intervals, reason, evidence and error rates."""
    parts = [
        f"Promised: {describe_promise(verdict.kind, verdict.expected)}.",
        _describe_counts_with_intervals(verdict),
        f"{str(verdict.outcome).capitalize()}: {verdict.reason}.",
        *_describe_evidence(verdict),
        _describe_order(verdict),
        _describe_small_weights(verdict),
        _describe_rates(verdict),
        _describe_limits(verdict),
    ]
    return " ".join(part for part in parts if part)


def find_nearest_splits(verdict: Verdict, *, struck: bool) -> list[tuple[str, float]]:
    """Return (description, best odds to 1 against it) of nearest wrong splits.

    If one version alone is promised, of a leak in all. For a presence check, of another version
    with the smallest share that counts.
    """
    if verdict.kind == "presence":
        share = verdict.settings.present
        log_odds = -verdict.n * math.log1p(-share)
        undeclared_version = (f"another version getting {format_percent(share)}", _exp(log_odds))
        return [undeclared_version] if verdict.holds == struck else []
    alone = find_only_version(verdict.expected)
    return [
        (describe_wrong_split(verdict.expected, split.version, split.share), _exp(split.log_odds))
        for split in verdict.splits
        if split.nearest and split.struck == struck and alone in (None, split.version)
    ]


def compute_false_alarm_rate(verdict: Verdict) -> float:
    """Return the chance (0 to 1) that a mesh that keeps this promise fails; 0 = never.

    An answer from a version that must never answer is a fact, not a statistic.
    """
    certain = verdict.code in ("undeclared", "weight-zero")
    if certain or (verdict.kind == "weights" and find_only_version(verdict.expected)):
        return 0.0
    judged = verdict.settings.alpha_independence if _judges_order(verdict) else 0.0
    return verdict.settings.alpha + judged


def _is_split(verdict: Verdict) -> bool:
    """Say whether weights were declared for several versions."""
    return verdict.kind == "weights" and not find_only_version(verdict.expected)


def _judges_order(verdict: Verdict) -> bool:
    """Say whether the order of the answers is judged, too."""
    return _is_split(verdict) and verdict.settings.independence


def _describe_counts(verdict: Verdict) -> str:
    """Return the counts, such as `490 answers: v1 251 (51.2 %), v2 239 (48.8 %)`."""
    n, alone = verdict.n, find_only_version(verdict.expected)
    if alone and n and verdict.counts[alone] == n:
        return f"{n} of {format_answers(n)} from {alone}{_describe_unnamed(verdict)}"
    parts = [
        f"{version} {count}" + (f" ({format_percent(count / n)})" if n else "")
        for version, count in verdict.counts.items()
    ]
    return f"{format_answers(n)}: {', '.join(parts)}{_describe_unnamed(verdict)}"


def _describe_unnamed(verdict: Verdict) -> str:
    """Return how many answers named no version, as the end of a sentence.

    With their share of all answers and its upper limit (Clopper-Pearson, wrong at most beta).
    """
    if not verdict.unnamed:
        return ""
    total = verdict.n + verdict.unnamed
    limit = find_upper_limit(verdict.unnamed, total, verdict.settings.beta)
    share = f"{format_percent(verdict.unnamed / total)}, at most {format_percent(limit)}"
    return f", and {verdict.unnamed} that named no version ({share})"


def describe_fault(verdict: Verdict) -> str:
    """Return the smallest fault that the check must catch."""
    settings = verdict.settings
    if verdict.kind == "presence":
        return f"another version with {format_percent(settings.present)} or more"
    if verdict.kind == "comparison":
        return f"a share off by {format_points(CAUGHT)} or more"
    if find_only_version(verdict.expected):
        return f"a leak of {format_percent(settings.leak)} or more"
    leak = (
        f" or a leak of {format_percent(settings.leak)}"
        if find_versions_without_weight(verdict.expected)
        else ""
    )
    return f"a share off by {format_points(settings.tolerance)}{leak} or more"


def _describe_counts_with_intervals(verdict: Verdict) -> str:
    """Return the counts with their shares and confidence intervals."""
    if not verdict.n:
        return f"Seen: {_describe_counts(verdict)}."
    ranges = compute_share_intervals(verdict)
    parts = []
    for version, count in verdict.counts.items():
        low, high = (format_percent(share) for share in ranges[version])
        share = format_percent(count / verdict.n)
        parts.append(f"{version} {count} ({share}; {low.removesuffix(' %')} to {high})")
    confidence = format_percent(1 - verdict.settings.beta)
    return (
        f"Seen in {format_answers(verdict.n)}: {', '.join(parts)}{_describe_unnamed(verdict)}, "
        f"with {confidence} {name_method(verdict)} intervals."
    )


def _describe_evidence(verdict: Verdict) -> list[str]:
    """Return the odds behind the decision, those nearest to the limit first."""
    if verdict.code == "wrong-split":
        return _describe_odds_against(verdict)
    if verdict.outcome is Outcome.FAILED:
        return []
    sentences = []
    for title, struck in (("Ruled out", True), ("Not ruled out", False)):
        splits = sorted(find_nearest_splits(verdict, struck=struck), key=lambda split: split[1])
        descriptions = [
            f"{description} (odds {format_odds(_log(odds))})" for description, odds in splits[:2]
        ]
        if hidden_count := len(splits) - 2 if len(splits) > 2 else 0:
            descriptions.append(
                f"and {hidden_count} more at better odds" if struck else f"and {hidden_count} more"
            )
        if descriptions:
            sentences.append(f"{title}: {'; '.join(descriptions)}.")
    return sentences


def _describe_odds_against(verdict: Verdict) -> list[str]:
    """Return the odds of the wrong splits, or the limit that failed a wrong split instead."""
    test = StrikeOff(verdict.expected, verdict.settings)
    log_evidence, limit = test.compute_evidence(verdict.counts, verdict.n), test.fail_at
    if log_evidence >= limit:
        odds = f"{format_odds(log_evidence)}, where {format_odds(limit)} counts"
        return [f"Wrong splits fit better than the declared one by {odds}."]
    if verdict.n >= verdict.n_max:
        return ["Open at the last answer allowed, it was decided by the exact test of that size."]
    return []  # failed by the order of the answers, whose odds are given anyway


def _describe_order(verdict: Verdict) -> str:
    """Return the odds for repeats and for round robin."""
    if not _judges_order(verdict) or not verdict.n:
        return ""
    limit = format_odds(math.log(2 / verdict.settings.alpha_independence))
    return (
        f"Order of the answers: odds {format_odds(verdict.over)} for repeats, "
        f"{format_odds(verdict.under)} for round robin, where {limit} counts."
    )


def _describe_small_weights(verdict: Verdict) -> str:
    """Name the versions whose weight is below the tolerance: the check says little about them."""
    tolerance = verdict.settings.tolerance
    small = [v for v, share in verdict.expected.items() if 0 < share < tolerance + EPS]
    if verdict.kind != "weights" or not small:
        return ""
    return (
        f"The weight of {join_names(small)} is no more than the tolerance: only its absence and "
        f"{format_points(tolerance)} too many are checked."
    )


def _describe_rates(verdict: Verdict) -> str:
    """Return the error rates and the most answers needed."""
    alpha = compute_false_alarm_rate(verdict)
    fails = f"fails at most {format_rate(alpha)}" if alpha else "never fails"
    fault = describe_fault(verdict)
    return (
        f"{fault[0].upper()}{fault[1:]} passes at most {format_rate(verdict.settings.beta)}; "
        f"a kept promise {fails}. Never more than {format_answers(verdict.n_max)} are needed."
    )


def _describe_limits(verdict: Verdict) -> str:
    limits = verdict.limits()
    return f"Limits: {'; '.join(limits)}." if limits else ""


def _exp(log_odds: float) -> float:
    return math.exp(log_odds) if log_odds < 700 else math.inf


def _log(odds: float) -> float:
    return math.log(odds) if odds < math.inf else math.inf
