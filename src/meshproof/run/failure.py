"""Why a promise was not kept, as fields: reports lay them out, and nothing reads text back."""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.base.clues import Clue
from meshproof.base.errors import EvidenceError, label_evidence
from meshproof.run.cause import Cause


@dataclass(frozen=True)
class Failure:
    """What is known of a promise that was not kept; every field but `summary` may be empty.

    `summary` says in one line what happened. `cause` says it whole; it is empty where `expected`
    and `observed` say all of it. `curl` is a command line that shows one of the requests, `clues`
    are facts that may be behind it, `diagnosis` is the folder with the evidence. What was
    promised, and where, is in the `Result`. `root_cause` is what other promises break by, too;
    `broken_share` (0..1) is the share of the requests that it breaks.
    """

    summary: str
    cause: str = ""
    expected: str = ""
    observed: str = ""
    curl: str = ""
    clues: tuple[Clue, ...] = ()
    diagnosis: str = ""
    root_cause: Cause | None = None
    broken_share: float = 1.0

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What is known of the failure, as (label, text) in the order in which people read it."""
        parts = (
            ("cause", self.cause),
            *label_evidence(self.expected, self.observed, self.curl),
            *self._cause_parts,
            ("clues", "\n".join(map(str, self.clues))),
            ("diagnosis", self.diagnosis),
        )
        return [(label, text) for label, text in parts if text]

    @property
    def _cause_parts(self) -> list[tuple[str, str]]:
        """What the cause is that others break by, too, and its repair."""
        if self.root_cause is None:
            return []
        because = f"{self.root_cause.what} ({self.root_cause.place}): {self.root_cause.why}"
        return [("because", because), ("repair", self.root_cause.repair)]


class BrokenPromise(EvidenceError, AssertionError):
    """A promise that was seen broken without a judge: some response decides it alone.

    `cause` is what breaks other promises, too, if that is known; `share` (0..1) is the share of
    the requests that it breaks.
    """

    def __init__(
        self,
        summary: str,
        expected: str = "",
        observed: str = "",
        curl: str = "",
        cause: Cause | None = None,
        share: float = 1.0,
    ) -> None:
        super().__init__(summary, expected, observed, curl)
        self.cause, self.share = cause, share
