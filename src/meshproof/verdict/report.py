"""A verdict for people: one line for a console, one paragraph for a report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meshproof.verdict.intervals import method, share_intervals
from meshproof.verdict.phrases import (
    answers,
    listed,
    never,
    odds_to_one,
    only,
    percent,
    points,
    promise,
    times,
    wrong_split,
)
from meshproof.verdict.settings import EPS, Outcome
from meshproof.verdict.strikeoff import StrikeOff

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def line(verdict: Verdict) -> str:
    """Return the verdict as one line: outcome, n, counts, bound and error rates."""
    if verdict.outcome is Outcome.PASSED:
        shares = verdict.kind == "weights" and not only(verdict.expected)
        declared = f"; declared {promise(verdict.kind, verdict.expected)}" if shares else ""
        missed = f"(missed at most {times(verdict.settings.beta)})"
        found = verdict.loosened()
        looser = f"; looser than the run: {listed(found)}" if found else ""
        return (
            f"passed: {_seen(verdict)}{declared}; {_fault(verdict)} is ruled out {missed}{looser}"
        )
    alpha = false_alarm(verdict) if verdict.outcome is Outcome.FAILED else 0.0
    rate = f"; a false alarm at most {times(alpha)}" if alpha else ""
    return f"{verdict.outcome}: {verdict.reason} [{_seen(verdict)}{rate}]"


def paragraph(verdict: Verdict) -> str:
    """Return promise, counts with intervals, reason, evidence and error rates."""
    parts = [
        f"Promised: {promise(verdict.kind, verdict.expected)}.",
        _seen_with_intervals(verdict),
        f"{str(verdict.outcome).capitalize()}: {verdict.reason}.",
        *_evidence(verdict),
        _order(verdict),
        _below_tolerance(verdict),
        _rates(verdict),
        _limits(verdict),
    ]
    return " ".join(part for part in parts if part)


def nearest_splits(verdict: Verdict, *, struck: bool) -> list[tuple[str, float]]:
    """Return (description, best odds to 1 against it) of nearest wrong splits.

    For a promise of one version alone, of a leak in all. For a presence check, of another
    version with the smallest share that counts.
    """
    if verdict.kind == "presence":
        share = verdict.settings.present
        log_odds = -verdict.n * math.log1p(-share)
        stranger = (f"another version getting {percent(share)}", _exp(log_odds))
        return [stranger] if verdict.holds == struck else []
    alone = only(verdict.expected)
    return [
        (wrong_split(verdict.expected, split.version, split.share), _exp(split.log_odds))
        for split in verdict.splits
        if split.nearest and split.struck == struck and alone in (None, split.version)
    ]


def false_alarm(verdict: Verdict) -> float:
    """Return the chance (0 to 1) that a mesh that keeps this promise fails; 0 = never.

    An answer from a version that must never answer is a fact, not a statistic.
    """
    certain = verdict.code in ("undeclared", "weight-zero")
    if certain or (verdict.kind == "weights" and only(verdict.expected)):
        return 0.0
    judged = verdict.settings.alpha_independence if _judges_order(verdict) else 0.0
    return verdict.settings.alpha + judged


def _judges_order(verdict: Verdict) -> bool:
    weights = verdict.kind == "weights" and not only(verdict.expected)
    return weights and verdict.settings.independence


def _seen(verdict: Verdict) -> str:
    """Return the counts, such as `490 answers: v1 251 (51.2 %), v2 239 (48.8 %)`."""
    n, alone = verdict.n, only(verdict.expected)
    if alone and n and verdict.counts[alone] == n:
        return f"{n} of {answers(n)} from {alone}{_unnamed(verdict)}"
    parts = [
        f"{version} {count}" + (f" ({percent(count / n)})" if n else "")
        for version, count in verdict.counts.items()
    ]
    return f"{answers(n)}: {', '.join(parts)}{_unnamed(verdict)}"


def _unnamed(verdict: Verdict) -> str:
    return f", and {verdict.unnamed} that named no version" if verdict.unnamed else ""


def _fault(verdict: Verdict) -> str:
    """Return the smallest fault that must be caught."""
    settings = verdict.settings
    if verdict.kind == "presence":
        return f"another version with {percent(settings.present)} or more"
    if only(verdict.expected):
        return f"a leak of {percent(settings.leak)} or more"
    leak = f" or a leak of {percent(settings.leak)}" if never(verdict.expected) else ""
    return f"a share off by {points(settings.tolerance)}{leak} or more"


def _seen_with_intervals(verdict: Verdict) -> str:
    if not verdict.n:
        return f"Seen: {_seen(verdict)}."
    ranges = share_intervals(verdict)
    parts = []
    for version, count in verdict.counts.items():
        low, high = (percent(share) for share in ranges[version])
        share = percent(count / verdict.n)
        parts.append(f"{version} {count} ({share}; {low.removesuffix(' %')} to {high})")
    confidence = percent(1 - verdict.settings.beta)
    return (
        f"Seen in {answers(verdict.n)}: {', '.join(parts)}{_unnamed(verdict)}, "
        f"with {confidence} {method(verdict)} intervals."
    )


def _evidence(verdict: Verdict) -> list[str]:
    """Return the odds behind the decision, those nearest to the limit first."""
    if verdict.code == "wrong-split":
        return _against(verdict)
    if verdict.outcome is Outcome.FAILED:
        return []
    sentences = []
    for title, struck in (("Ruled out", True), ("Not ruled out", False)):
        splits = sorted(nearest_splits(verdict, struck=struck), key=lambda split: split[1])
        shown = [f"{what} (odds {odds_to_one(_log(odds))})" for what, odds in splits[:2]]
        if more := len(splits) - 2 if len(splits) > 2 else 0:
            shown.append(f"and {more} more at better odds" if struck else f"and {more} more")
        if shown:
            sentences.append(f"{title}: {'; '.join(shown)}.")
    return sentences


def _against(verdict: Verdict) -> list[str]:
    """Return the odds of the wrong splits, or which other limit a wrong split failed at."""
    test = StrikeOff(verdict.expected, verdict.settings)
    found, limit = test.evidence(verdict.counts, verdict.n), test.fail_at
    if found >= limit:
        odds = f"{odds_to_one(found)}, where {odds_to_one(limit)} counts"
        return [f"Wrong splits fit better than the declared one by {odds}."]
    if verdict.n >= verdict.n_max:
        return ["Open at the last answer allowed, it was decided by the exact test of that size."]
    return []  # failed by the order of the answers, whose odds are given anyway


def _order(verdict: Verdict) -> str:
    if not _judges_order(verdict) or not verdict.n:
        return ""
    limit = odds_to_one(math.log(2 / verdict.settings.alpha_independence))
    return (
        f"Order of the answers: odds {odds_to_one(verdict.over)} for repeats, "
        f"{odds_to_one(verdict.under)} for round robin, where {limit} counts."
    )


def _below_tolerance(verdict: Verdict) -> str:
    """Name the versions whose weight is below the tolerance: little is said about those."""
    tolerance = verdict.settings.tolerance
    small = [v for v, share in verdict.expected.items() if 0 < share < tolerance + EPS]
    if verdict.kind == "presence" or not small:
        return ""
    return (
        f"The weight of {listed(small)} is no more than the tolerance: only its absence and "
        f"{points(tolerance)} too many are checked."
    )


def _rates(verdict: Verdict) -> str:
    alpha = false_alarm(verdict)
    fails = f"fails at most {times(alpha)}" if alpha else "never fails"
    fault = _fault(verdict)
    return (
        f"{fault[0].upper()}{fault[1:]} passes at most {times(verdict.settings.beta)}; "
        f"a kept promise {fails}. Never more than {answers(verdict.n_max)} are needed."
    )


def _limits(verdict: Verdict) -> str:
    found = verdict.limits()
    return f"Limits: {'; '.join(found)}." if found else ""


def _exp(log_odds: float) -> float:
    return math.exp(log_odds) if log_odds < 700 else math.inf


def _log(odds: float) -> float:
    return math.log(odds) if odds < math.inf else math.inf
