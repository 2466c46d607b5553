"""Facts that may be behind a failure, as values: reports lay them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clue:
    """A fact that may be behind a failure.

    `subject` is what the fact is about: a pod, a proxy, a rule, some of the requests; empty where
    the fact names it.
    """

    subject: str
    fact: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.fact}" if self.subject else self.fact
