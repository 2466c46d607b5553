"""Do the answers come as independent draws? Two e-values, in send order.

`over` grows when answers repeat more than independent draws do (pinned connections, sticky
sessions, config still spreading), `under` when they alternate more regularly (round robin).
Each is the plain mean of components that are e-values themselves, so it may be read at any
time: under independent draws with the declared shares, P(ever >= x) <= 1/x.
Source: statistics.md, section 5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from meshproof.verdict.binomial import log_pmf, log_sum

STICKY = (0.05, 0.1, 0.2, 0.4, 0.8)
REGULAR = (*STICKY, 1.0)  # 1: the same version never twice in a row
BLOCKS = (10, 50)
CORRELATED = (0.02, 0.1, 0.3)
EVEN = (0.5, 2.0, 20.0)

Rows = tuple[tuple[float, ...], ...]


class Independence:
    """Both e-values of one check. Feed answers in send order; unnamed ones are left out.

    shares: declared shares. Useful only where at least two are above 0.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = {version: share for version, share in shares.items() if share > 0}
        self.middle = min(self.shares, key=lambda version: abs(self.shares[version] - 0.5))
        self.repeated = dict.fromkeys(self.shares, 0)
        self.moved = dict.fromkeys(self.shares, 0)
        self.previous: str | None = None
        self.blocks = [_Block(size, self.shares[self.middle]) for size in BLOCKS]

    def add(self, versions: Sequence[str]) -> None:
        """Take the next answers, from versions with a share above 0."""
        if not versions:
            return
        previous = () if self.previous is None else (self.previous,)
        for (before, after), count in Counter(pairwise((*previous, *versions))).items():
            tally = self.repeated if after == before else self.moved
            tally[before] += count
        self.previous = versions[-1]
        hits = [version == self.middle for version in versions]
        for block in self.blocks:
            block.add(hits)

    def log_evalues(self) -> tuple[float, float]:
        """Return (log over, log under)."""
        over = [self._transitions(r, +1) for r in STICKY]
        under = [self._transitions(r, -1) for r in REGULAR]
        for block in self.blocks:
            over += block.weigh(block.over_rows)
            under += block.weigh(block.under_rows)
        return _log_mean(over), _log_mean(under)

    def _transitions(self, strength: float, sign: int) -> float:
        """Log odds that the chance of repeating is `strength` of the way to 1 (+) or 0 (-)."""
        total = 0.0
        for version, share in self.shares.items():
            change = strength * (1 - share) if sign > 0 else -strength * share
            repeats, moves = self.repeated[version], self.moved[version]
            if repeats:
                ratio = (share + change) / share
                total += repeats * math.log(ratio) if ratio > 0 else -math.inf
            if moves:
                total += moves * math.log((1 - share - change) / (1 - share))
        return total


def measure_misfit(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Return the log odds for independent draws with the seen shares over the declared ones.

    0 for a perfect fit; infinite if a version with share 0 was seen.
    """
    n = sum(counts.values())
    total = 0.0
    for version, count in counts.items():
        if count:
            declared = shares.get(version, 0.0)
            total += count * math.log(count / (n * declared)) if declared else math.inf
    return total


class _Block:
    """Counts of one version in blocks of fixed size, against the binomial.

    full: number of full blocks by how many of their answers came from the version.
    open: the answers of the block that is not full yet.
    """

    def __init__(self, size: int, share: float) -> None:
        self.size = size
        self.over_rows, self.under_rows = _compute_block_rows(size, share)
        self.full = [0] * (size + 1)
        self.open: list[bool] = []

    def add(self, hits: list[bool]) -> None:
        """Take the next answers: whether each came from the version."""
        answers = self.open + hits
        end = len(answers) - len(answers) % self.size
        for start in range(0, end, self.size):
            self.full[answers[start : start + self.size].count(True)] += 1
        self.open = answers[end:]

    def weigh(self, rows: Rows) -> list[float]:
        """Return the log odds of each alternative, given by its row, over all full blocks.

        Summed from whole numbers: the same however the answers were cut.
        """
        tally = [(hits, count) for hits, count in enumerate(self.full) if count]
        return [sum(count * row[hits] for hits, count in tally) for row in rows]


@lru_cache(maxsize=64)
def _compute_block_rows(size: int, share: float) -> tuple[Rows, Rows]:
    """Return (over, under): for each alternative the log odds of a block by its count."""
    counts = range(size + 1)
    plain = [log_pmf(x, size, share) for x in counts]
    over = tuple(
        tuple(_log_beta_binomial(x, size, share, rho) - plain[x] for x in counts)
        for rho in CORRELATED
    )
    spread = [(x - size * share) ** 2 / (size * share * (1 - share)) for x in counts]
    under = []
    for weight in EVEN:
        tilt = [-weight * z for z in spread]
        norm = log_sum([p + t for p, t in zip(plain, tilt, strict=True)])
        under.append(tuple(t - norm for t in tilt))
    return over, tuple(under)


def _log_beta_binomial(x: int, size: int, share: float, rho: float) -> float:
    """Return ln P of x hits when the share varies between blocks with correlation rho."""
    a, b = share * (1 / rho - 1), (1 - share) * (1 / rho - 1)
    choose = math.lgamma(size + 1) - math.lgamma(x + 1) - math.lgamma(size - x + 1)
    return choose + _log_beta(a + x, b + size - x) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_mean(logs: Sequence[float]) -> float:
    return log_sum(logs) - math.log(len(logs))
