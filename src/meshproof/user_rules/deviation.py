"""What the visits of a case show that is not as expected."""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.run.cause import Cause
from meshproof.run.failure import BrokenPromise


@dataclass(frozen=True)
class Deviation:
    """What happened, in one line, with what was expected and what was observed."""

    summary: str
    expected: str
    observed: str

    def to_broken_promise(
        self, curl: str, cause: Cause | None = None, share: float = 1.0
    ) -> BrokenPromise:
        """Return the error of the promise that it breaks; `curl` shows one of the requests.

        `cause` is what breaks other promises, too; `share` (0..1) is the share of the requests.
        """
        return BrokenPromise(self.summary, self.expected, self.observed, curl, cause, share)
