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

from meshproof.verdict.binomial import at_least, at_most, log_sum
from meshproof.verdict.nmax import SEQUENTIAL, n_max
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


def wrong_splits(shares: Mapping[str, float], settings: Settings) -> list[WrongSplit]:
    """List what could be wrong with declared shares, nearest first for each direction.

    With two versions the second is the complement of the first and is left out.
    """
    versions = list(shares)[:1] if len(shares) == 2 else list(shares)
    return [wrong for version in versions for wrong in _of_version(version, shares, settings)]


def _of_version(version: str, shares: Mapping[str, float], settings: Settings) -> list[WrongSplit]:
    declared = shares[version]
    if declared <= 0:
        return [WrongSplit(version, settings.leak, nearest=True)]
    if declared >= 1:
        return [WrongSplit(version, 1 - settings.leak, nearest=True)]
    found = []
    for sign in (+1, -1):
        step, nearest = settings.tolerance, True
        while EPS < (share := declared + sign * step) < 1 - EPS:
            found.append(WrongSplit(version, share, nearest))
            step, nearest = 2 * step, False
        found.append(WrongSplit(version, 1.0 if sign > 0 else 0.0, nearest))
    return found


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

    shares: declared shares as of `declared_shares`. An answer from a version with share 0
    must be judged before (it refutes the shares for certain).
    """

    def __init__(self, shares: Mapping[str, float], settings: Settings) -> None:
        self.shares = dict(shares)
        self.settings = settings
        wrongs = wrong_splits(shares, settings)
        near = sum(wrong.nearest for wrong in wrongs)
        far = len(wrongs) - near
        self.sides = near
        whole = max(shares.values()) >= 1  # nothing is random: all of alpha and beta is there
        spent = 1.0 if whole else SEQUENTIAL
        self.strike_at = math.log(spent * settings.beta) + EPS
        self.fail_at = -math.log(spent * settings.alpha)
        self.n_max = n_max(
            tuple(shares.values()),
            settings.tolerance,
            settings.leak,
            settings.alpha,
            settings.beta,
            near,
        )
        self.candidates = [
            _Candidate(
                wrong,
                shares[wrong.version],
                (0.5 if far else 1.0) / near if wrong.nearest else 0.5 / far,
            )
            for wrong in wrongs
        ]

    def look(self, counts: Mapping[str, int], n: int) -> Outcome | None:
        """Judge the counts (sum n); None = go on. Strikes are kept for the next look."""
        odds = self._odds(counts, n)
        # a mean is never above its largest part, so most looks need no exp at all
        if max(odds) >= self.fail_at and self._mean(odds) >= self.fail_at:
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

    def evidence(self, counts: Mapping[str, int], n: int) -> float:
        """Return ln of the e-value against the declared shares; it fails at `fail_at`."""
        return self._mean(self._odds(counts, n))

    def _odds(self, counts: Mapping[str, int], n: int) -> list[float]:
        return [c.log_odds(counts[c.wrong.version], n) for c in self.candidates]

    def _mean(self, odds: Sequence[float]) -> float:
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
        if all(self._tail(wrong, counts, n) <= beta for wrong in still_open if wrong.nearest):
            return Outcome.PASSED
        for version, share in self.shares.items():
            seen = counts[version]
            if 0 < share < 1 and min(at_most(seen, n, share), at_least(seen, n, share)) <= alpha:
                return Outcome.FAILED
        return Outcome.INCONCLUSIVE

    def _tail(self, wrong: WrongSplit, counts: Mapping[str, int], n: int) -> float:
        seen = counts[wrong.version]
        if wrong.share > self.shares[wrong.version]:
            return at_most(seen, n, wrong.share)
        return at_least(seen, n, wrong.share)

    def splits(self) -> tuple[WrongSplit, ...]:
        """Return every wrong split with the odds reached against it and whether it is struck."""
        return tuple(
            WrongSplit(c.wrong.version, c.wrong.share, c.wrong.nearest, c.best, c.struck)
            for c in self.candidates
        )
