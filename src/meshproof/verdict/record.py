"""A verdict: what was promised, seen and decided, complete enough to be judged again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from meshproof.base.escaping import escape_line
from meshproof.verdict import limits, report
from meshproof.verdict.intervals import compute_share_intervals
from meshproof.verdict.settings import Origin, Outcome, Settings
from meshproof.verdict.strikeoff import WrongSplit

FORMAT = "meshproof.verdict/1"


@dataclass(frozen=True)
class Verdict:
    """What a judge found about one promise.

    outcome: passed, failed or inconclusive.
    code: why, as one word for machines: "struck-off", "all-seen" or "unmoved" (passed);
        "undeclared", "weight-zero", "wrong-split", "round-robin", "missing" or "moved" (failed);
        "correlated", "budget", "errors", "unclear" or "empty" (inconclusive).
    reason: why, as one sentence that names the version at fault.
    kind: "weights", "presence" or "comparison".
    n: answers judged, those that name a version. counts: the same by version.
    unnamed: answers that name no version; they are no part of n.
    expected: declared shares (weights), the smallest share that counts (presence) or the shares
        of the baseline (comparison).
    n_max: answers after which the check is decided, whatever comes.
    labels: every answer in send order, None where unnamed.
    over, under: log e-values of independence against repeats and against regularity;
        0 where not computed.
    splits: the wrong splits that were tried (weights only), with the odds against each.
    baseline: the answers by version that came before (comparison only).
    """

    outcome: Outcome
    code: str
    reason: str
    kind: str
    n: int
    counts: dict[str, int]
    unnamed: int
    expected: dict[str, float]
    settings: Settings
    n_max: int
    labels: tuple[str | None, ...]
    over: float = 0.0
    under: float = 0.0
    splits: tuple[WrongSplit, ...] = ()
    baseline: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """True only if the promise was shown to hold; inconclusive is not a pass."""
        return self.outcome is Outcome.PASSED

    def intervals(self, confidence: float | None = None) -> dict[str, tuple[float, float]]:
        """Return (low, high) of each version's share, 0 to 1; see `compute_share_intervals`."""
        return compute_share_intervals(self, confidence)

    def ruled_out(self) -> list[tuple[str, float]]:
        """Return the nearest wrong splits that are struck off: (description, odds to 1)."""
        return report.find_nearest_splits(self, struck=True)

    def not_ruled_out(self) -> list[tuple[str, float]]:
        """Return the nearest wrong splits that still stand: (description, odds to 1)."""
        return report.find_nearest_splits(self, struck=False)

    def limits(self) -> list[str]:
        """Return the limits that it was judged by, each with where it comes from, if known."""
        return limits.describe_limits(self.kind, self.expected, self.settings)

    def loosened(self) -> list[str]:
        """Return the limits that let more through here than the run's options do."""
        return limits.describe_loosened(self.kind, self.expected, self.settings)

    def paragraph(self) -> str:
        """Return the verdict as one paragraph for a report.

        Two examples, shortened:
        "Promised: only v3. Seen in 688 answers: v3 688 (100 %; 98.9 to 100 %) ... Passed: only
        v3 answered. Ruled out: other versions getting 1 % in all (odds 1010 to 1). A leak of
        1 % or more passes at most 1 time in 1000; a kept promise never fails. ..."
        "Promised: v1 50 %, v2 50 %. Seen in 20 answers: v1 20 (100 %; 68.4 to 100 %), v2 0 ...
        Failed: v2 never answered in 20 answers where 50 % was declared, which looks like 100/0:
        the weights are ignored or traffic is pinned to v1. ..."
        """
        return escape_line(report.format_paragraph(self))

    def __str__(self) -> str:
        return escape_line(report.format_line(self))

    def __repr__(self) -> str:
        return f"<Verdict {self}>"

    @property
    def statement(self) -> str:
        """What the verdict rests on, in one line, without the outcome."""
        return escape_line(report.format_statement(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values; nothing is lost."""
        stored = asdict(self)
        stored["outcome"] = str(self.outcome)
        stored["labels"] = list(self.labels)
        for name in ("over", "under"):
            stored[name] = _to_json(stored[name])
        stored["splits"] = [
            {**split, "log_odds": _to_json(split["log_odds"])} for split in stored["splits"]
        ]
        return {"format": FORMAT, **stored}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `to_dict` wrote; raises ValueError for anything else."""
        try:
            values = dict(stored)
            if values.pop("format") != FORMAT:
                raise ValueError(f"not a {FORMAT}: {stored['format']!r}")
            values["outcome"] = Outcome(values["outcome"])
            values["settings"] = _read_settings(values["settings"])
            values["labels"] = tuple(values["labels"])
            values["over"], values["under"] = float(values["over"]), float(values["under"])
            values["splits"] = tuple(
                WrongSplit(**{**split, "log_odds": float(split["log_odds"])})
                for split in values["splits"]
            )
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a stored verdict: {error}") from error


def _read_settings(stored: Mapping[str, Any]) -> Settings:
    origins = {name: Origin(**origin) for name, origin in stored.get("origins", {}).items()}
    return Settings(**{**stored, "origins": origins})


def _to_json(number: float) -> float | str:
    """JSON has no infinity: write it as a word that float() reads."""
    return number if math.isfinite(number) else str(number)
