"""The comparison check: versions answer as often as they did before, whatever their shares are.

It has a fixed size: as many answers as there were before. It fails where Fisher's exact test of one
version against the rest rejects equal shares (R. A. Fisher 1935: given all counts, the count of a
version is hypergeometric), at alpha over all versions and both directions. It passes where exact
limits of both shares (Clopper and Pearson 1934) leave no room for a difference of CAUGHT: each of
the two limits is wrong at most beta/2 of the time, so such a difference passes at most beta.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from meshproof.verdict.binomial import probability_at_most
from meshproof.verdict.settings import Outcome, Settings

#: The smallest difference of shares (0 to 1) that must be caught. Where three versions answer
#: equally often and half of the callers are moved to one of them, its share grows by this much.
CAUGHT = 1 / 3
#: Standard errors of a difference that equal shares may show and still pass: 2 in a billion do not.
_ROOM = 6.0
#: Halvings of an interval of length 1 that leave less than any float can tell.
_HALVINGS = 60


@dataclass(frozen=True)
class Baseline:
    """The answers by version that came before: what later answers are compared with.

    `counts` has every version that may answer, those that did not with 0.
    Raises ValueError where there are no answers.
    """

    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        if sum(self.counts.values()) < 1 or min(self.counts.values()) < 0:
            raise ValueError(f"a baseline needs answers, found {dict(self.counts)}")


def count_baseline_answers(beta: float) -> int:
    """Return how many answers a baseline needs, so that equal shares almost always pass."""
    limits = 2 * NormalDist().inv_cdf(1 - beta / 2) * 0.5
    return math.ceil(((limits + _ROOM * math.sqrt(0.5)) / CAUGHT) ** 2)


class Comparison:
    """The test for one check; `look` decides once there are as many answers as in the baseline."""

    def __init__(self, baseline: Baseline, settings: Settings) -> None:
        self.baseline = dict(baseline.counts)
        self.settings = settings
        self.n_max = sum(self.baseline.values())

    def look(self, counts: Mapping[str, int], n: int) -> Outcome | None:
        """Judge the counts (sum n); None = go on."""
        if n < self.n_max:
            return None
        pairs = self._pair_counts(counts)
        level = self.settings.alpha / (2 * len(pairs))
        total = self.n_max
        if any(compute_fisher_tail(before, total, after, n) <= level for before, after in pairs):
            return Outcome.FAILED
        largest = max(
            compute_largest_difference(before, total, after, n, self.settings.beta)
            for before, after in pairs
        )
        return Outcome.PASSED if largest < CAUGHT else Outcome.INCONCLUSIVE

    def _pair_counts(self, counts: Mapping[str, int]) -> list[tuple[int, int]]:
        """Return (before, after) of each version, and of all unknown ones together."""
        unknown = sum(count for version, count in counts.items() if version not in self.baseline)
        pairs = [(before, counts.get(version, 0)) for version, before in self.baseline.items()]
        return [*pairs, (0, unknown)]


def compute_fisher_tail(before: int, total: int, after: int, n: int) -> float:
    """Return the smaller tail (0 to 1) of Fisher's exact test: `before` of total, `after` of n."""
    hits = before + after
    ways = math.comb(total + n, hits)
    lowest, highest = max(0, hits - total), min(hits, n)
    below = sum(math.comb(n, x) * math.comb(total, hits - x) for x in range(lowest, after + 1))
    above = sum(math.comb(n, x) * math.comb(total, hits - x) for x in range(after, highest + 1))
    return min(below, above) / ways


def compute_largest_difference(before: int, total: int, after: int, n: int, beta: float) -> float:
    """Return the largest difference of both shares (0 to 1) that is not ruled out at `beta`."""
    grown = find_upper_limit(after, n, beta / 2) - find_lower_limit(before, total, beta / 2)
    shrunk = find_upper_limit(before, total, beta / 2) - find_lower_limit(after, n, beta / 2)
    return max(grown, shrunk)


def find_upper_limit(count: int, n: int, level: float) -> float:
    """Return the share (0 to 1) above which `count` of n or fewer come at most `level` of the time.

    The one-sided limit of Clopper and Pearson.
    """
    low, high = count / n, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if probability_at_most(count, n, middle) > level:
            low = middle
        else:
            high = middle
    return high


def find_lower_limit(count: int, n: int, level: float) -> float:
    """Return the share (0 to 1) below which `count` of n or more come as rarely."""
    return 1 - find_upper_limit(n - count, n, level)


def find_moved_version(baseline: Mapping[str, int], counts: Mapping[str, int]) -> str:
    """Return the version whose count differs most clearly from that of the baseline."""
    total, n = sum(baseline.values()), sum(counts.values())
    return min(
        {**baseline, **counts},
        key=lambda version: compute_fisher_tail(
            baseline.get(version, 0), total, counts.get(version, 0), n
        ),
    )
