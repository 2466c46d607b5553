"""The presence check: every named version answers and no other does, shares undeclared.

Source: statistics.md, section 3. A version that has `present` of the answers or more stays
unseen for n answers with chance (1 - present)^n: with k of them, one stays unseen for
ln(k/alpha) / -ln(1 - present) answers in at most alpha of the runs, and that is a failure.
The other half of the promise, "no other", takes clean answers: an unnamed version with
`present` or more is missed at most beta of the time after ln(beta) / ln(1 - present).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from meshproof.verdict.nmax import count_clean_answers
from meshproof.verdict.settings import EPS, Outcome, Settings


class Presence:
    """The test for one check; `look` after each batch with the counts so far."""

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        self.names = tuple(names)
        self.patience = count_answers_until_missing(len(names), settings.present, settings.alpha)
        self.clean = count_clean_answers(settings.present, settings.beta)
        self.n_max = max(self.patience, self.clean)

    def look(self, counts: Mapping[str, int], n: int) -> Outcome | None:
        """Judge the counts (sum n) of the named versions; None = go on."""
        if all(counts[name] for name in self.names):
            return Outcome.PASSED if n >= self.clean else None
        return Outcome.FAILED if n >= self.patience else None


def count_answers_until_missing(versions: int, share: float, alpha: float) -> int:
    """Return after how many answers an unseen version of `share` or more counts as missing.

    Wrong for any of the versions at most `alpha` of the time. 105 for 3, 0.10 and 5e-5.
    """
    return math.ceil(math.log(versions / alpha) / -math.log1p(-share) - EPS)
