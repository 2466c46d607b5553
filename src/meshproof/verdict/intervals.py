"""Confidence intervals for display; statsmodels is imported only when one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproof.verdict.phrases import find_only_version

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def preload() -> None:
    """Import what intervals are made with, so that the first one need not wait for it."""
    import statsmodels.stats.proportion  # noqa: F401


def name_method(verdict: Verdict) -> str:
    """Return the name of the interval used.

    Clopper-Pearson (exact) where the question is one version against the rest: two
    versions, or one that is promised alone. Else Goodman (simultaneous).
    """
    exact = len(verdict.counts) <= 2 or find_only_version(verdict.expected)
    return "Clopper-Pearson" if exact else "Goodman"


def compute_share_intervals(
    verdict: Verdict, confidence: float | None = None
) -> dict[str, tuple[float, float]]:
    """Return (low, high) of each version's share, 0 to 1.

    For display only: they take n as fixed, while the verdict rests on odds that allow for
    stopping early. confidence: 0 to 1; by default 1 - beta, so that a pass and its interval
    speak of the same risk. Raises ValueError for a confidence out of range.
    """
    confidence = 1 - verdict.settings.beta if confidence is None else confidence
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if not verdict.n:
        return dict.fromkeys(verdict.counts, (0.0, 1.0))
    counts, alpha = list(verdict.counts.values()), 1 - confidence
    rows = (
        _compute_clopper_pearson(counts, verdict.n, alpha)
        if name_method(verdict) == "Clopper-Pearson"
        else _compute_goodman(counts, alpha)
    )
    return dict(zip(verdict.counts, rows, strict=True))


def _compute_clopper_pearson(counts: list[int], n: int, alpha: float) -> list[tuple[float, float]]:
    # statsmodels has no types; its import takes 2 s
    from statsmodels.stats.proportion import proportion_confint

    pairs = (proportion_confint(count, n, alpha=alpha, method="beta") for count in counts)
    return [(float(low), float(high)) for low, high in pairs]


def _compute_goodman(counts: list[int], alpha: float) -> list[tuple[float, float]]:
    from statsmodels.stats.proportion import (  # as above
        multinomial_proportions_confint,
    )

    rows = multinomial_proportions_confint(counts, alpha=alpha, method="goodman")
    return [(max(0.0, float(low)), min(1.0, float(high))) for low, high in rows]
