"""Exact chances and mean length of the strike-off test where two versions get traffic.

The count of the first version is a random walk; its distribution is carried forward from
look to look, split by which wrong splits are already struck, and emptied where the test
stops. No simulation, no normal approximation; rounding stays below 1e-12. A very long check is
taken to look more rarely than it does: see `count_answers_per_look`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshproof.verdict.binomial import log_pmf
from meshproof.verdict.settings import Outcome
from meshproof.verdict.strikeoff import StrikeOff, WrongSplit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_NEGLIGIBLE = 1e-22  # counts less likely than this are dropped
#: A check with more looks than this is taken to look so often only: exact looks would take minutes.
_MOST_LOOKS = 5000
_FEW_LOOKS = 300
#: The last look of such a check is taken at so many counts, each for its neighbours.
_FEW_COUNTS = 200
#: What a Fourier transform leaves where nothing is.
_NOISE = 1e-13
_UPPER, _LOWER = 1, 2  # bits of a layer: the wrong split above, below is struck


@dataclass(frozen=True)
class Course:
    """How a check ends when its first version really has `share` (0 to 1).

    passes, fails: chances, 0 to 1; what is missing to 1 is inconclusive. mean: answers.
    """

    share: float
    passes: float
    fails: float
    mean: float


def compute_courses(test: StrikeOff, shares: Sequence[float], limit: int) -> list[Course]:
    """Return the course of `test` for each true share of its first version with traffic.

    Exactly two of the test's versions must have a weight above 0. limit: most answers.
    """
    return _RandomWalk(test, shares, limit).run()


def count_answers_per_look(look_every: int, limit: int) -> int:
    """Return after how many answers each look falls here: `look_every`, or a multiple of it."""
    if limit <= _MOST_LOOKS * look_every:
        return look_every
    return look_every * math.ceil(limit / _FEW_LOOKS / look_every)


class _RandomWalk:
    """The distribution of the first version's count, carried from look to look."""

    def __init__(self, test: StrikeOff, shares: Sequence[float], limit: int) -> None:
        import numpy as np

        self.np: Any = np
        self.test, self.shares, self.limit = test, shares, limit
        self.every = count_answers_per_look(test.settings.look_every, limit)
        self.is_exact = self.every == test.settings.look_every
        self.negligible = _NEGLIGIBLE if self.is_exact else _NOISE
        self.chances: dict[tuple[int, int], Floats] = {}  # (step, index of a true share)
        self.first, self.second = (v for v, share in test.shares.items() if share > 0)
        self.mass = np.zeros((4, len(shares), 1))  # layer, true share, count - low
        self.mass[0] = 1.0
        self.low = 0
        self.ends = np.zeros((2, len(shares)))  # passes, fails
        self.mean = np.zeros(len(shares))
        above, below = self._find_nearest(+1), self._find_nearest(-1)
        self.nearest = {_UPPER: above, _LOWER: below}

    def run(self) -> list[Course]:
        """Carry the distribution to the limit; return the course for each true share."""
        n = 0
        while n < self.limit and self.mass.sum() > 1e-13:
            step = min(self.every - n % self.every, self.limit - n)
            if self.is_exact:
                self._add_answers(step)
            else:
                self._add_many_answers(step)
            n += step
            self._evaluate(n)
            if n == self.limit:
                self._decide_open(n)
            self._drop_unlikely()
        return [
            Course(share, float(passed), float(failed), float(mean))
            for share, passed, failed, mean in zip(self.shares, *self.ends, self.mean, strict=True)
        ]

    def _find_nearest(self, sign: int) -> int:
        """Return the index of the nearest candidate with more (+1) or less (-1) of the first."""
        for j, candidate in enumerate(self.test.candidates):
            wrong = candidate.wrong
            difference = wrong.share - self.test.shares[self.first] if wrong.nearest else 0.0
            if wrong.version == self.first and sign * difference > 0:
                return j
        raise AssertionError("every version with traffic can have more or less of it")

    def _add_answers(self, step: int) -> None:
        """Spread the distribution over `step` more answers."""
        width = self.mass.shape[2]
        grown = self.np.zeros((4, len(self.shares), width + step))
        for j in range(step + 1):
            chance = self.np.array([math.exp(log_pmf(j, step, share)) for share in self.shares])
            grown[:, :, j : j + width] += self.mass * chance[None, :, None]
        self.mass = grown

    def _add_many_answers(self, step: int) -> None:
        """Do the same by a Fourier transform, which leaves some noise."""
        from scipy import fft

        width = self.mass.shape[2] + step
        size = fft.next_fast_len(width, real=True)
        grown = self.np.zeros((4, len(self.shares), width))
        for layer, j in zip(*self.np.nonzero(self.mass.any(axis=2)), strict=True):
            product = fft.rfft(self.mass[layer, j], size) * self._transform_step(step, j, size)
            grown[layer, j] = fft.irfft(product, size)[:width]
        self.mass = self.np.where(grown > _NOISE, grown, 0.0)

    def _transform_step(self, step: int, j: int, size: int) -> Any:
        """Return the transform of how many of `step` answers the first version gives."""
        from scipy import fft, stats

        if (step, j) not in self.chances:
            counts = self.np.arange(step + 1)
            self.chances[step, j] = stats.binom.pmf(counts, step, self.shares[j])
        return fft.rfft(self.chances[step, j], size)

    def _evaluate(self, n: int) -> None:
        """Stop and strike as the test does after n answers."""
        odds = self._compute_odds(n)
        priors = self.np.log([c.prior for c in self.test.candidates])[:, None]
        evidence = self.np.logaddexp.reduce(odds + priors, axis=0)
        self._move_to_ends(evidence >= self.test.fail_at, n, fails=True)
        struck = odds <= self.test.strike_at
        for bit, j in self.nearest.items():
            for layer in (0, _UPPER + _LOWER - bit):
                moved = self.mass[layer] * struck[j]
                self.mass[layer] -= moved
                self.mass[layer | bit] += moved
        leaks = [
            j for j, c in enumerate(self.test.candidates) if not self.test.shares[c.wrong.version]
        ]
        if all(struck[j].all() for j in leaks):
            self._move_to_ends(self.np.ones(self.mass.shape[2], bool), n, layers=[_UPPER | _LOWER])

    def _compute_odds(self, n: int) -> Floats:
        """Return log odds by candidate and count, as `_Candidate.log_odds` does for one."""
        count = self.np.arange(self.low, self.low + self.mass.shape[2])
        rows = []
        for candidate in self.test.candidates:
            hits = {self.first: count, self.second: n - count}.get(
                candidate.wrong.version, 0 * count
            )
            rows.append(
                self._multiply(hits, candidate.hit) + self._multiply(n - hits, candidate.miss)
            )
        odds: Floats = self.np.array(rows)
        return odds

    def _multiply(self, count: Any, log_odds: float) -> Any:
        """Return count * log_odds with 0 * infinity = 0."""
        with self.np.errstate(invalid="ignore"):
            return self.np.where(count == 0, 0.0, count * log_odds)

    def _move_to_ends(
        self, counts: Mask, n: int, *, fails: bool = False, layers: Sequence[int] = (0, 1, 2, 3)
    ) -> None:
        """Count the mass at these counts as ended after n answers, and remove it."""
        for layer in layers:
            stopped = self.mass[layer][:, counts].sum(axis=1)
            self.mass[layer][:, counts] = 0.0
            self.ends[int(fails)] += stopped
            self.mean += n * stopped

    def _decide_open(self, n: int) -> None:
        """Decide what is open at the limit, by the exact last look if it is n_max."""
        has_mass = self.mass.max(axis=(0, 1)) > self.negligible
        columns = self.np.flatnonzero(has_mass) if n == self.test.n_max else ()
        parts = len(columns) if self.is_exact else min(_FEW_COUNTS, len(columns))
        for block in self.np.array_split(columns, parts) if parts else ():
            count = self.low + int(block[len(block) // 2])
            counts = dict.fromkeys(self.test.shares, 0)
            counts |= {self.first: count, self.second: n - count}
            in_block = self.np.isin(self.np.arange(self.mass.shape[2]), block)
            for layer in range(4):
                outcome = self.test.last_look(counts, n, self._list_open_splits(layer))
                if outcome is not Outcome.INCONCLUSIVE:
                    self._move_to_ends(in_block, n, fails=outcome is Outcome.FAILED, layers=[layer])
        self.mean += n * self.mass.sum(axis=(0, 2))
        self.mass[:] = 0.0

    def _list_open_splits(self, layer: int) -> list[WrongSplit]:
        """Return the nearest wrong splits that are not struck in a layer."""
        near = self.nearest.items()
        return [self.test.candidates[j].wrong for bit, j in near if not layer & bit]

    def _drop_unlikely(self) -> None:
        """Drop counts at both ends that are too unlikely to matter."""
        columns = self.np.flatnonzero(self.mass.max(axis=(0, 1)) > self.negligible)
        if len(columns):
            self.mass = self.mass[:, :, columns[0] : columns[-1] + 1]
            self.low += int(columns[0])
