"""The strike-off test: whether the counts fit the declared weights.

Every way in which the split could be wrong by the tolerance is listed. A wrong split is
struck off for good once the declared weights fit 1/(0.9 beta) times better; the check
passes when all are struck. It fails when the wrong splits together fit 1/(0.9 alpha) times
better. Both rates hold whenever one looks: the odds are martingales (Ville), and passing
needs every wrong split struck (intersection-union). Source: statistics.md, section 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from meshproof.verdict.binomial import log_sum, probability_at_least, probability_at_most
from meshproof.verdict.nmax import SEQUENTIAL, compute_n_max
from meshproof.verdict.settings import EPS, Outcome, Settings


@dataclass(frozen=True)
class WrongSplit:
    """One way in which the split could be wrong: `version` has `share` (0 to 1) instead.

    nearest: off by just the tolerance; these must be struck off before a check passes.
    log_odds: highest log odds seen so far for the declared weights and against this.
    struck: struck off the list for good.
    """

    version: str
    share: float
    nearest: bool
    log_odds: float = 0.0
    struck: bool = False


def list_wrong_splits(shares: Mapping[str, float], settings: Settings) -> list[WrongSplit]:
    """List what could be wrong with declared shares, nearest first for each direction.

    With two versions the second is the complement of the first and is left out.
    """
    versions = list(shares)[:1] if len(shares) == 2 else list(shares)
    return [
        wrong for version in versions for wrong in _list_version_splits(version, shares, settings)
    ]


def _list_version_splits(
    version: str, shares: Mapping[str, float], settings: Settings
) -> list[WrongSplit]:
    declared = shares[version]
    if declared <= 0:
        return [WrongSplit(version, settings.leak, nearest=True)]
    if declared >= 1:
        return [WrongSplit(version, 1 - settings.leak, nearest=True)]
    splits = []
    for sign in (+1, -1):
        step, nearest = settings.tolerance, True
        while EPS < (share := declared + sign * step) < 1 - EPS:
            splits.append(WrongSplit(version, share, nearest))
            step, nearest = 2 * step, False
        splits.append(WrongSplit(version, 1.0 if sign > 0 else 0.0, nearest))
    return splits


class _Candidate:
    """A wrong split with the log odds that one answer adds, from `version` or from another."""

    def __init__(self, wrong: WrongSplit, declared: float, prior: float) -> None:
        self.wrong = wrong
        self.prior = prior
        self.hit = _log_ratio(wrong.share, declared)
        self.miss = _log_ratio(1 - wrong.share, 1 - declared)
        self.best = 0.0
        self.struck = False

    def log_odds(self, hits: int, n: int) -> float:
        """Return ln(likelihood under this / under the declared share) after n answers."""
        misses = n - hits
        return (hits * self.hit if hits else 0.0) + (misses * self.miss if misses else 0.0)


def _log_ratio(wrong: float, declared: float) -> float:
    if declared <= 0:
        return math.inf
    return math.log(wrong / declared) if wrong > 0 else -math.inf


class StrikeOff:
    """The test for one check; `look` after each batch with the counts so far.

    shares: declared shares as of `read_shares`. An answer from a version with share 0
    must be judged before (it refutes the shares for certain).
    """

    def __init__(self, shares: Mapping[str, float], settings: Settings) -> None:
        self.shares = dict(shares)
        self.settings = settings
        wrongs = list_wrong_splits(shares, settings)
        nearest_count = sum(wrong.nearest for wrong in wrongs)
        farther_count = len(wrongs) - nearest_count
        self.sides = nearest_count
        is_certain = max(shares.values()) >= 1  # nothing is random: all of alpha and beta is there
        spent_share = 1.0 if is_certain else SEQUENTIAL
        self.strike_at = math.log(spent_share * settings.beta) + EPS
        self.fail_at = -math.log(spent_share * settings.alpha)
        self.n_max = compute_n_max(
            tuple(shares.values()),
            settings.tolerance,
            settings.leak,
            settings.alpha,
            settings.beta,
            nearest_count,
        )
        self.candidates = [
            _Candidate(
                wrong,
                shares[wrong.version],
                (0.5 if farther_count else 1.0) / nearest_count
                if wrong.nearest
                else 0.5 / farther_count,
            )
            for wrong in wrongs
        ]

    def look(self, counts: Mapping[str, int], n: int) -> Outcome | None:
        """Judge the counts (sum n); None = go on. Strikes are kept for the next look."""
        odds = self._compute_odds(counts, n)
        # a mean is never above its largest part, so most looks need no exp at all
        if max(odds) >= self.fail_at and self._average_odds(odds) >= self.fail_at:
            return Outcome.FAILED
        alive = False
        for candidate, log_odds in zip(self.candidates, odds, strict=True):
            candidate.best = max(candidate.best, -log_odds)
            candidate.struck = candidate.struck or log_odds <= self.strike_at
            alive = alive or (candidate.wrong.nearest and not candidate.struck)
        if not alive:
            return Outcome.PASSED
        if n < self.n_max:
            return None
        return self.last_look(counts, n, [c.wrong for c in self.candidates if not c.struck])

    def compute_evidence(self, counts: Mapping[str, int], n: int) -> float:
        """Return ln of the e-value against the declared shares; it fails at `fail_at`."""
        return self._average_odds(self._compute_odds(counts, n))

    def _compute_odds(self, counts: Mapping[str, int], n: int) -> list[float]:
        return [c.log_odds(counts[c.wrong.version], n) for c in self.candidates]

    def _average_odds(self, odds: Sequence[float]) -> float:
        """Return ln of the mean of e^odds: half the weight on the nearest, half on farther."""
        weighed = zip(self.candidates, odds, strict=True)
        return log_sum([math.log(c.prior) + log_odds for c, log_odds in weighed])

    def last_look(
        self, counts: Mapping[str, int], n: int, still_open: Iterable[WrongSplit]
    ) -> Outcome:
        """Decide by the exact test of fixed size, with what is left of alpha and beta."""
        spare = 1 - SEQUENTIAL
        beta = spare * self.settings.beta * (1 + EPS)
        alpha = spare * self.settings.alpha / self.sides * (1 + EPS)
        if all(
            self._compute_tail(wrong, counts, n) <= beta for wrong in still_open if wrong.nearest
        ):
            return Outcome.PASSED
        for version, share in self.shares.items():
            count = counts[version]
            if (
                0 < share < 1
                and min(probability_at_most(count, n, share), probability_at_least(count, n, share))
                <= alpha
            ):
                return Outcome.FAILED
        return Outcome.INCONCLUSIVE

    def _compute_tail(self, wrong: WrongSplit, counts: Mapping[str, int], n: int) -> float:
        """Return how likely counts as far from a wrong share as these are, if that share held."""
        count = counts[wrong.version]
        if wrong.share > self.shares[wrong.version]:
            return probability_at_most(count, n, wrong.share)
        return probability_at_least(count, n, wrong.share)

    def splits(self) -> tuple[WrongSplit, ...]:
        """Return every wrong split with the odds reached against it and whether it is struck."""
        return tuple(
            WrongSplit(c.wrong.version, c.wrong.share, c.wrong.nearest, c.best, c.struck)
            for c in self.candidates
        )
